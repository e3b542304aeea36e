//! A process of a scenario.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::{sync::mpsc, time::timeout};

use crate::{network, role::ROLE};

/// For what takes a moment: a machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// It is killed when this is dropped, and when this process ends.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: mpsc::Receiver<String>,
    pub(crate) diary: PathBuf,
}

/// What a process uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) rss_kib: u64,
    pub(crate) descriptors: u64,
}

impl Process {
    /// This binary in another role, behind these words: on a host, under limits.
    pub(crate) fn start(
        role: &str,
        prefix: &[String],
        settings: &[(&str, String)],
        directory: &Path,
    ) -> Self {
        let serial = fs::read_dir(directory).unwrap().count();
        let diary = directory.join(format!("{serial:02}-{role}.jsonl"));
        fs::write(&diary, "").unwrap();
        let own = ["setpriv", "--pdeathsig", "KILL"].map(str::to_owned);
        let words: Vec<_> = own.iter().chain(prefix).collect();
        let mut child = Command::new(words[0])
            .args(&words[1..])
            // Only for the process itself, not for what starts it.
            .arg("env")
            .args(
                settings
                    .iter()
                    .map(|(name, value)| format!("{name}={value}")),
            )
            .arg(std::env::current_exe().unwrap())
            .env(ROLE, role)
            .env("CHAOS_DIARY", &diary)
            .env("CHAOS_SECURITY", network::security())
            // What is measured is what it holds, not what the allocator keeps for later: large
            // blocks go back at once, and there is one heap.
            .env("MALLOC_MMAP_THRESHOLD_", "8192")
            .env("MALLOC_TRIM_THRESHOLD_", "65536")
            .env("MALLOC_ARENA_MAX", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel(64);
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if let Some(said) = line.strip_prefix('@') {
                    let _ = sender.blocking_send(said.to_owned());
                }
            }
        });
        Self {
            child,
            lines,
            diary,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it says next, which begins with this word.
    pub(crate) async fn says(&mut self, word: &str) -> String {
        let line = timeout(PATIENCE, self.lines.recv()).await;
        let line = line.unwrap_or_else(|_| panic!("it hangs instead of saying {word:?}"));
        let line = line.unwrap_or_else(|| panic!("it ended before it said {word:?}"));
        let rest = line.strip_prefix(word);
        let rest = rest.unwrap_or_else(|| panic!("it should say {word:?} and says {line:?}"));
        rest.trim().to_owned()
    }

    /// Has it do something, and gives its answer.
    pub(crate) async fn order(&mut self, order: &str) -> Result<String, String> {
        let stdin = self.child.stdin.as_mut().unwrap();
        writeln!(stdin, "{order}").map_err(|error| format!("it has ended: {error}"))?;
        let verb = order.split(' ').next().unwrap_or_default();
        let said = self.says(verb).await;
        match said.strip_prefix('!') {
            Some(error) => Err(error.to_owned()),
            None => Ok(said),
        }
    }

    /// As by kill -9: it has no chance to say anything.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// By its name: `STOP`, `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Changes a limit of it while it runs, as `prlimit` writes them: `nofile=9`.
    pub(crate) fn limit(&self, limit: &str) {
        let (pid, limit) = (format!("--pid={}", self.pid()), format!("--{limit}"));
        let ran = Command::new("prlimit").args([pid, limit]).status();
        assert!(ran.unwrap().success());
    }

    /// Takes care that it gets no more descriptors: those below the limit are all in use.
    pub(crate) fn leave_no_descriptor(&self) {
        let is_used = |number: &u32| {
            let place = format!("/proc/{}/fd/{number}", self.pid());
            fs::symlink_metadata(place).is_ok()
        };
        let first_free = (0..).find(|number| !is_used(number));
        let first_free = first_free.expect("there are few");
        self.limit(&format!("nofile={first_free}:4096"));
    }

    pub(crate) fn usage(&self) -> Usage {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.pid()));
        Usage {
            rss_kib: self.status("VmRSS:"),
            descriptors: descriptors.unwrap().count() as u64,
        }
    }

    /// A line of its status, in KiB.
    pub(crate) fn status(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let line = line.unwrap_or_else(|| panic!("no {name} in {status}"));
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, maybe.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
