//! Messages: one outcome each, as many runs as it says, in order, in time.

use std::collections::{BTreeMap, HashMap};

use super::{Account, Bounds, End, Figures, Findings, still_between};
use crate::diary::{EVERYONE, Id, Lane, Line, Outcome};

/// What is known of one message.
#[derive(Default)]
struct Story<'a> {
    sender: Option<&'a Account>,
    sent_at: u64,
    within: u64,
    is_told: bool,
    outcomes: Vec<(u64, &'a Outcome)>,
    runs: Vec<Run<'a>>,
}

struct Run<'a> {
    by: &'a str,
    account: &'a Account,
    at: u64,
}

pub(super) fn check(
    accounts: &[Account],
    bounds: Bounds,
    figures: &mut Figures,
    found: &mut Findings,
) {
    let stories = stories(accounts, found);
    for (id, story) in &stories {
        outcome_fits_runs(id, story, figures, found);
        in_time(id, story, bounds, figures, found);
    }
    in_order(accounts, found);
}

pub(super) fn ends(accounts: &[Account]) -> Vec<End<'_>> {
    let stories = stories(accounts, &mut Findings::default());
    let end = |(id, story): (_, Story<'_>)| {
        let (at, _) = *story.outcomes.first()?;
        let still = still_between(story.sender?, story.sent_at, at);
        Some(End {
            id,
            sent_at: story.sent_at,
            within: story.within,
            ended_at: at - still,
        })
    };
    stories.into_iter().filter_map(end).collect()
}

fn stories<'a>(accounts: &'a [Account], found: &mut Findings) -> HashMap<&'a Id, Story<'a>> {
    let mut stories = HashMap::<&Id, Story<'_>>::new();
    for account in accounts {
        for line in &account.lines {
            match line {
                Line::Sending {
                    id,
                    at,
                    within,
                    is_told,
                } => {
                    let story = stories.entry(id).or_default();
                    if story.sender.replace(account).is_some() {
                        found.add("a number was used twice", format!("{id:?}"));
                    }
                    (story.sent_at, story.within) = (*at, *within);
                    story.is_told = *is_told;
                }
                Line::Ended { id, at, outcome } => {
                    stories.entry(id).or_default().outcomes.push((*at, outcome));
                }
                Line::Ran { id, by, at, intact } => {
                    let story = stories.entry(id).or_default();
                    story.runs.push(Run {
                        by,
                        account,
                        at: *at,
                    });
                    if !intact {
                        found.add("a payload was altered", format!("{id:?} at {by}"));
                    }
                    if id.to != EVERYONE && id.to != *by {
                        found.add("a message ran elsewhere", format!("{id:?} at {by}"));
                    }
                }
                _ => {}
            }
        }
    }
    stories
}

fn outcome_fits_runs(id: &Id, story: &Story<'_>, figures: &mut Figures, found: &mut Findings) {
    let Some(sender) = story.sender else {
        return found.add("what nobody sent ran or ended", format!("{id:?}"));
    };
    figures.sent += 1;
    let ran = story.runs.len();
    let mut by_name = BTreeMap::<&str, usize>::new();
    for run in &story.runs {
        *by_name.entry(run.by).or_default() += 1;
    }
    for (name, count) in by_name.iter().filter(|(_, count)| **count > 1) {
        found.add("doubled", format!("{id:?} ran {count} times at {name}"));
    }
    let outcome = match &story.outcomes[..] {
        [(_, outcome)] => *outcome,
        [] if sender.killed => {
            figures.unknown += 1;
            return;
        }
        outcomes => {
            return found.add("not exactly one outcome", format!("{id:?}: {outcomes:?}"));
        }
    };
    let mut failed = |why: &str| {
        let key = (id.from.clone(), id.to.clone(), why.to_owned());
        *figures.failures.entry(key).or_default() += 1;
    };
    match outcome {
        Outcome::Answered { by } => {
            figures.delivered += 1;
            if !story.runs.iter().any(|run| run.account.pid == *by) {
                found.add("answered, and didn't run there", format!("{id:?} by {by}"));
            }
        }
        Outcome::Delivered => {
            figures.delivered += 1;
            if ran == 0 {
                found.add("delivered, and didn't run", format!("{id:?}"));
            }
        }
        Outcome::NotRun(why) => {
            figures.not_run += 1;
            failed(why);
            if ran > 0 {
                found.add("said not to have run, and ran", format!("{id:?}: {why}"));
            }
        }
        Outcome::MayHaveRun(why) => {
            figures.may_have_run += 1;
            figures.did_run += u64::from(ran > 0);
            failed(why);
        }
        Outcome::Report {
            delivered,
            ignored,
            open,
        } => {
            figures.broadcasts += 1;
            open.iter().for_each(|_| failed("broadcast"));
            for name in delivered {
                if !by_name.contains_key(&**name) {
                    let what = format!("{id:?} at {name}");
                    found.add("reported as delivered, and didn't run", what);
                }
            }
            for name in by_name.keys() {
                let is_in = |names: &[String]| names.iter().any(|it| it == name);
                if is_in(ignored) || !(is_in(delivered) || is_in(open)) {
                    let what = format!("{id:?} at {name}: {outcome:?}");
                    found.add("ran, and the report doesn't say so", what);
                }
            }
        }
    }
}

fn in_time(
    id: &Id,
    story: &Story<'_>,
    bounds: Bounds,
    figures: &mut Figures,
    found: &mut Findings,
) {
    let Some(sender) = story.sender else { return };
    let deadline = story.sent_at + story.within;
    let way_back = if story.is_told { bounds.held } else { 0 };
    for (at, outcome) in &story.outcomes {
        let late =
            at.saturating_sub(deadline)
                .saturating_sub(still_between(sender, story.sent_at, *at));
        let latest = if story.is_told {
            &mut figures.latest_tell
        } else {
            &mut figures.latest
        };
        *latest = late.max(*latest);
        if late > bounds.slack + way_back {
            let what = format!("{id:?}: {outcome:?} {late} ms late");
            found.add("an outcome past its deadline", what);
        }
    }
    for run in &story.runs {
        let late = run.at.saturating_sub(deadline);
        if late > bounds.slack + bounds.held {
            let what = format!("{id:?} at {}: {late} ms late", run.by);
            found.add("a run past its deadline", what);
        }
    }
}

/// From one sender to one receiver, lane by lane, over all processes that the receiver has had.
fn in_order(accounts: &[Account], found: &mut Findings) {
    let mut last = HashMap::<(&str, u32, &str, Lane), u64>::new();
    for line in accounts.iter().flat_map(|account| &account.lines) {
        let Line::Ran { id, by, .. } = line else {
            continue;
        };
        let key = (&*id.from, id.pid, &**by, id.lane);
        if let Some(before) = last.insert(key, id.n)
            && before > id.n
        {
            found.add("out of order", format!("{id:?} at {by}, after {before}"));
        }
    }
}
