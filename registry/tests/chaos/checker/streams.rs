//! Streams: what a subscriber of a reliable one gets is complete, or the gap is told to the item.

use std::collections::HashMap;

use super::{Account, Figures, Findings};
use crate::diary::{Got, Line};

/// The items of one subscriber in one process, of one stream.
type Series<'a> = HashMap<(u32, &'a str, &'a str), Vec<&'a Got>>;

fn series(account: &Account) -> Series<'_> {
    let mut series = Series::new();
    for line in &account.lines {
        if let Line::Item(got) = line {
            let key = (account.pid, &*got.by, &*got.stream);
            series.entry(key).or_default().push(got);
        }
    }
    series
}

/// What was begun to be published, and what was: how many items of each stream of each process.
fn published(accounts: &[Account]) -> HashMap<(u32, &str), (u64, u64)> {
    let mut counts = HashMap::<(u32, &str), (u64, u64)>::new();
    for account in accounts {
        for line in &account.lines {
            match line {
                Line::Publishing { stream, n } => {
                    let count = counts.entry((account.pid, stream)).or_default();
                    count.0 = count.0.max(n + 1);
                }
                Line::Published { stream, n, .. } => {
                    let count = counts.entry((account.pid, stream)).or_default();
                    count.1 = count.1.max(n + 1);
                }
                _ => {}
            }
        }
    }
    counts
}

pub(super) fn check(accounts: &[Account], figures: &mut Figures, found: &mut Findings) {
    let published = published(accounts);
    for account in accounts {
        for ((_, by, stream), items) in series(account) {
            let mut before: Option<&Got> = None;
            for got in items {
                figures.items += 1;
                figures.missed += got.missed;
                let what = || format!("{got:?} after {before:?}, by {by}");
                let begun = published.get(&(got.pid, stream)).map_or(0, |count| count.0);
                if got.n >= begun {
                    found.add("an item that nobody published", what());
                }
                if got.n != got.seq {
                    found.add("an item under another's number", what());
                }
                if !got.intact {
                    found.add("an item was altered", what());
                }
                match before {
                    Some(before) if before.pid == got.pid => {
                        if got.seq <= before.seq {
                            found.add("an item doubled or out of order", what());
                        } else if got.restarted || got.missed != got.seq - before.seq - 1 {
                            found.add("a gap that isn't told exactly", what());
                        }
                    }
                    Some(_) if !got.restarted || got.missed < got.seq => {
                        found.add("a restart that isn't told", what());
                    }
                    _ => {}
                }
                before = Some(got);
            }
        }
    }
}

pub(super) fn awaited(accounts: &[Account]) -> Vec<String> {
    let published = published(accounts);
    let alive = || accounts.iter().filter(|account| !account.killed);
    let mut missing = Vec::new();
    for account in alive() {
        for ((_, by, stream), items) in series(account) {
            for publisher in alive() {
                let Some((_, count)) = published.get(&(publisher.pid, stream)) else {
                    continue;
                };
                let last = items.iter().rev().find(|got| got.pid == publisher.pid);
                let got = last.map_or(0, |got| got.seq + 1);
                if got < *count {
                    missing.push(format!("{by} has {got} of {count} items of {stream}"));
                }
            }
        }
    }
    missing
}
