//! Adds up what the processes wrote down. It knows every message, its outcome and its runs, and
//! says of each rule that is broken by which message.

mod messages;
mod streams;
pub(crate) mod tests;

use std::collections::BTreeMap;

use crate::diary::{Id, Line};

/// What a process left.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    pub(crate) pid: u32,
    /// It had no chance to finish what it wrote.
    pub(crate) killed: bool,
    /// When it was made to stand still, from and to.
    pub(crate) still: Vec<(u64, u64)>,
    pub(crate) lines: Vec<Line>,
}

/// How late things may be, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// An outcome after its deadline: what a busy machine may need to notice that it is over.
    pub(crate) slack: u64,
    /// A run after its message's deadline, besides: as long as the network may hold a message on a
    /// connection that isn't dead yet, since deadlines travel as time left. As late may be what
    /// becomes of a tell, whose deadline is for the beginning of its run.
    pub(crate) held: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            slack: 2_000,
            held: 3_000,
        }
    }
}

/// What it came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) sent: u64,
    pub(crate) delivered: u64,
    pub(crate) not_run: u64,
    pub(crate) may_have_run: u64,
    /// Of these, so many ran.
    pub(crate) did_run: u64,
    /// Whose sender was killed before it knew.
    pub(crate) unknown: u64,
    pub(crate) broadcasts: u64,
    pub(crate) items: u64,
    pub(crate) missed: u64,
    /// The latest outcome after its deadline, in milliseconds: of asks and broadcasts, and of tells.
    pub(crate) latest: u64,
    pub(crate) latest_tell: u64,
    /// What else became of them than to be delivered: sender, target, what and how many.
    pub(crate) failures: BTreeMap<(String, String, String), u64>,
}

/// All rules at once.
pub(crate) fn check(accounts: &[Account], bounds: Bounds) -> (Figures, Vec<String>) {
    let mut found = Findings::default();
    let mut figures = Figures::default();
    messages::check(accounts, bounds, &mut figures, &mut found);
    streams::check(accounts, &mut figures, &mut found);
    (figures, found.list)
}

/// When a message was sent, and when it ended: less the time that its sender stood still.
pub(crate) struct End<'a> {
    pub(crate) id: &'a Id,
    pub(crate) sent_at: u64,
    pub(crate) within: u64,
    pub(crate) ended_at: u64,
}

pub(crate) fn ends(accounts: &[Account]) -> Vec<End<'_>> {
    messages::ends(accounts)
}

/// The latest item that each subscriber that lives has yet to get from a publisher that lives.
pub(crate) fn awaited(accounts: &[Account]) -> Vec<String> {
    streams::awaited(accounts)
}

/// Broken rules; of many of one kind the first few.
#[derive(Default)]
struct Findings {
    list: Vec<String>,
    counts: BTreeMap<&'static str, usize>,
}

impl Findings {
    const OF_A_KIND: usize = 5;

    fn add(&mut self, rule: &'static str, what: impl std::fmt::Display) {
        let count = self.counts.entry(rule).or_default();
        *count += 1;
        if *count <= Self::OF_A_KIND {
            self.list.push(format!("{rule}: {what}"));
        }
    }
}

/// How much of the time between these it stood still.
fn still_between(account: &Account, from: u64, to: u64) -> u64 {
    let overlap = |&(begin, end): &(u64, u64)| end.min(to).saturating_sub(begin.max(from));
    account.still.iter().map(overlap).sum()
}
