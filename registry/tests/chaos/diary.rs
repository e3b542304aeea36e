//! What processes write down, line by line: each message before it is sent, its outcome, each run of
//! a handler, each item of a stream. A line is one `write`, so a process that is killed leaves whole
//! lines.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::FileExt,
    path::Path,
    sync::OnceLock,
};

use serde::{Deserialize, Serialize};

/// A message, as both ends name it.
#[botzilla::data]
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Id {
    /// The component that sent it.
    pub(crate) from: String,
    /// The process of that one.
    pub(crate) pid: u32,
    /// The component that it is for; of a broadcast, [`EVERYONE`].
    pub(crate) to: String,
    pub(crate) lane: Lane,
    /// Counted by the sender for each target and lane, in the order of sending.
    pub(crate) n: u64,
}

/// Within what the order is kept.
#[botzilla::data]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Lane {
    Plain,
    Urgent,
    Cast,
}

/// Whom a broadcast is for.
pub(crate) const EVERYONE: &str = "*";

/// What the sender was told, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// It was answered by this process.
    Answered { by: u32 },
    /// A tell's handler ran to its end.
    Delivered,
    /// The handler certainly didn't run, and why.
    NotRun(String),
    /// It may have run, and why nobody knows.
    MayHaveRun(String),
    /// A broadcast's report, by names. What is in neither may have run.
    Report {
        delivered: Vec<String>,
        ignored: Vec<String>,
        /// Of which it isn't known whether they ran it.
        open: Vec<String>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Line {
    Sending {
        id: Id,
        at: u64,
        /// What it has, in milliseconds.
        within: u64,
        /// Of which that is until its handler begins; of an ask it is until the reply is there.
        is_told: bool,
    },
    Ended {
        id: Id,
        at: u64,
        outcome: Outcome,
    },
    Ran {
        id: Id,
        by: String,
        at: u64,
        /// Whether the payload was as it was sent.
        intact: bool,
    },
    /// The publisher has begun to send number `n`, and [`Line::Published`] has done so.
    Publishing {
        stream: String,
        n: u64,
    },
    Published {
        stream: String,
        n: u64,
        at: u64,
    },
    Item(Got),
}

/// An item, as a subscriber got it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Got {
    pub(crate) by: String,
    pub(crate) stream: String,
    /// The process that published it.
    pub(crate) pid: u32,
    /// As counted by the program that published it.
    pub(crate) n: u64,
    /// As counted by the library.
    pub(crate) seq: u64,
    pub(crate) missed: u64,
    pub(crate) restarted: bool,
    pub(crate) intact: bool,
    pub(crate) at: u64,
}

/// Milliseconds since the machine's start, of a clock that is the same for all processes and that no
/// library can fake: read from a descriptor that was opened in good times.
#[derive(Debug)]
struct Uptime(File);

impl Uptime {
    fn now(&self) -> u64 {
        let mut text = [0; 64];
        let len = self.0.read_at(&mut text, 0).expect("/proc/uptime is there");
        let text = std::str::from_utf8(&text[..len]).expect("it is a number");
        let seconds = text.split(' ').next().unwrap_or_default();
        let (whole, hundredths) = seconds.split_once('.').expect("as 12.34");
        let number = |text: &str| text.parse::<u64>().expect("as 12.34");
        number(whole) * 1000 + number(hundredths) * 10
    }
}

static UPTIME: OnceLock<Uptime> = OnceLock::new();
static DIARY: OnceLock<File> = OnceLock::new();

pub(crate) fn now() -> u64 {
    let open = || Uptime(File::open("/proc/uptime").expect("/proc is mounted"));
    UPTIME.get_or_init(open).now()
}

/// Begins this process's diary.
pub(crate) fn begin(path: &Path) {
    now();
    let file = OpenOptions::new().create(true).append(true).open(path);
    DIARY.set(file.unwrap()).expect("it is begun once");
}

pub(crate) fn write(line: &Line) {
    let mut text = serde_json::to_vec(line).unwrap();
    text.push(b'\n');
    let mut diary = DIARY.get().expect("it was begun at start");
    diary.write_all(&text).unwrap();
}

/// What a process wrote. A killed one may have been at its last line.
pub(crate) fn read(path: &Path) -> Vec<Line> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?}: {error}")));
    lines.collect()
}
