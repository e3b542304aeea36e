//! That the checker can fail: each rule, broken by the smallest diary that does.

use super::{Account, Bounds, check};
use crate::diary::{EVERYONE, Got, Id, Lane, Line, Outcome};

const SENDER: u32 = 1;
const RECEIVER: u32 = 2;

fn id(n: u64) -> Id {
    Id {
        from: "a".to_owned(),
        pid: SENDER,
        to: "b".to_owned(),
        lane: Lane::Plain,
        n,
    }
}

fn sending(n: u64) -> Line {
    Line::Sending {
        id: id(n),
        at: 100 * n,
        within: 2_000,
        is_told: false,
    }
}

fn ended(n: u64, outcome: Outcome) -> Line {
    Line::Ended {
        id: id(n),
        at: 100 * n + 20,
        outcome,
    }
}

fn ran(n: u64) -> Line {
    Line::Ran {
        id: id(n),
        by: "b".to_owned(),
        at: 100 * n + 10,
        intact: true,
    }
}

fn item(seq: u64, missed: u64) -> Line {
    Line::Item(Got {
        by: "b".to_owned(),
        stream: "a/item".to_owned(),
        pid: SENDER,
        n: seq,
        seq,
        missed,
        restarted: false,
        intact: true,
        at: 0,
    })
}

fn publishing(n: u64) -> [Line; 2] {
    let stream = "a/item".to_owned();
    let begun = Line::Publishing {
        stream: stream.clone(),
        n,
    };
    [begun, Line::Published { stream, n, at: 0 }]
}

fn account(pid: u32, lines: Vec<Line>) -> Account {
    Account {
        pid,
        lines,
        ..Account::default()
    }
}

fn answered() -> Outcome {
    Outcome::Answered { by: RECEIVER }
}

fn not_run() -> Outcome {
    Outcome::NotRun("not connected".to_owned())
}

fn may() -> Outcome {
    Outcome::MayHaveRun("disconnected".to_owned())
}

#[track_caller]
fn finds(rule: &str, sender: Vec<Line>, receiver: Vec<Line>) {
    let accounts = [account(SENDER, sender), account(RECEIVER, receiver)];
    let (_, found) = check(&accounts, Bounds::default());
    assert!(
        found.len() == 1 && found[0].starts_with(rule),
        "{rule:?} isn't all that is found in {found:?}"
    );
}

#[track_caller]
fn finds_nothing(sender: Vec<Line>, receiver: Vec<Line>) {
    let accounts = [account(SENDER, sender), account(RECEIVER, receiver)];
    let (_, found) = check(&accounts, Bounds::default());
    assert!(found.is_empty(), "{found:?}");
}

pub(crate) fn what_is_as_it_should_be_passes() {
    let sender = vec![
        sending(0),
        ended(0, answered()),
        sending(1),
        ended(1, Outcome::Delivered),
        sending(2),
        ended(2, not_run()),
        sending(3),
        ended(3, may()),
        sending(4),
        ended(4, may()),
    ];
    let accounts = [
        account(SENDER, sender),
        account(RECEIVER, vec![ran(0), ran(1), ran(4)]),
    ];
    let (figures, found) = check(&accounts, Bounds::default());
    assert!(found.is_empty(), "{found:?}");
    let counts = (figures.delivered, figures.not_run, figures.may_have_run);
    assert_eq!((figures.sent, counts, figures.did_run), (5, (2, 1, 2), 1));
}

pub(crate) fn a_message_that_ran_twice_is_found() {
    let sender = || vec![sending(0), ended(0, answered())];
    finds("doubled", sender(), vec![ran(0), ran(0)]);
    let sender = vec![sending(0), ended(0, may())];
    finds("doubled", sender, vec![ran(0), ran(0)]);
    // Half of it by the process that came after.
    let accounts = [
        account(SENDER, vec![sending(0), ended(0, may())]),
        account(RECEIVER, vec![ran(0)]),
        account(3, vec![ran(0)]),
    ];
    let (_, found) = check(&accounts, Bounds::default());
    assert_eq!(found.len(), 1, "{found:?}");
}

pub(crate) fn a_message_that_was_lost_is_found() {
    finds("not exactly one outcome", vec![sending(0)], vec![ran(0)]);
    let sender = vec![sending(0), ended(0, answered())];
    finds("answered, and didn't run there", sender, Vec::new());
    let sender = vec![sending(0), ended(0, Outcome::Delivered)];
    finds("delivered, and didn't run", sender, Vec::new());
    // Who was killed may not have known; who wasn't does.
    let mut killed = account(SENDER, vec![sending(0)]);
    killed.killed = true;
    let (figures, found) = check(&[killed], Bounds::default());
    assert_eq!((figures.unknown, found.len()), (1, 0));
}

pub(crate) fn a_second_outcome_and_a_wrong_one_are_found() {
    let sender = vec![sending(0), ended(0, answered()), ended(0, may())];
    finds("not exactly one outcome", sender, vec![ran(0)]);
    let sender = vec![sending(0), ended(0, not_run())];
    finds("said not to have run, and ran", sender, vec![ran(0)]);
    let sender = vec![sending(0), ended(0, Outcome::Answered { by: 7 })];
    finds("answered, and didn't run there", sender, vec![ran(0)]);
    finds("what nobody sent", Vec::new(), vec![ran(0)]);
}

pub(crate) fn messages_out_of_order_are_found() {
    let sender = || vec![sending(0), ended(0, may()), sending(1), ended(1, may())];
    finds("out of order", sender(), vec![ran(1), ran(0)]);
    finds_nothing(sender(), vec![ran(0), ran(1)]);
    // An urgent one may go first.
    let mut sender = sender();
    let urgent = Id {
        lane: Lane::Urgent,
        ..id(0)
    };
    sender.push(Line::Sending {
        id: urgent.clone(),
        at: 0,
        within: 2_000,
        is_told: false,
    });
    sender.push(Line::Ended {
        id: urgent.clone(),
        at: 0,
        outcome: may(),
    });
    let urgent = Line::Ran {
        id: urgent,
        by: "b".to_owned(),
        at: 0,
        intact: true,
    };
    finds_nothing(sender, vec![ran(1), urgent]);
}

pub(crate) fn what_comes_late_is_found() {
    let late = |by: u64, outcome| Line::Ended {
        id: id(0),
        at: 2_000 + by,
        outcome,
    };
    let slack = Bounds::default().slack;
    let sender = vec![sending(0), late(slack + 1, not_run())];
    finds("an outcome past its deadline", sender.clone(), Vec::new());
    // Unless its sender stood still.
    let mut stopped = account(SENDER, sender);
    stopped.still = vec![(1_000, 1_500)];
    assert!(check(&[stopped], Bounds::default()).1.is_empty());
    finds_nothing(vec![sending(0), late(slack, not_run())], Vec::new());
    // Or it was a tell, which had only to begin in time.
    let mut tell = sending(0);
    if let Line::Sending { is_told, .. } = &mut tell {
        *is_told = true;
    }
    finds_nothing(vec![tell.clone(), late(slack + 1, may())], Vec::new());
    let by = slack + Bounds::default().held + 1;
    let sender = vec![tell, late(by, may())];
    finds("an outcome past its deadline", sender, Vec::new());
    let late = Line::Ran {
        id: id(0),
        by: "b".to_owned(),
        at: 2_001 + slack + Bounds::default().held,
        intact: true,
    };
    let sender = vec![sending(0), ended(0, may())];
    finds("a run past its deadline", sender, vec![late]);
}

pub(crate) fn a_broadcast_that_did_not_do_what_its_report_says_is_found() {
    let cast = Id {
        to: EVERYONE.to_owned(),
        lane: Lane::Cast,
        ..id(0)
    };
    let sending = Line::Sending {
        id: cast.clone(),
        at: 0,
        within: 2_000,
        is_told: false,
    };
    let report = |delivered: &[&str], ignored: &[&str], open: &[&str]| {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let outcome = Outcome::Report {
            delivered: owned(delivered),
            ignored: owned(ignored),
            open: owned(open),
        };
        let ended = Line::Ended {
            id: cast.clone(),
            at: 10,
            outcome,
        };
        vec![sending.clone(), ended]
    };
    let ran = |by: &str| Line::Ran {
        id: cast.clone(),
        by: by.to_owned(),
        at: 5,
        intact: true,
    };
    let both = || vec![ran("b"), ran("c")];
    finds_nothing(report(&["b", "c"], &["d"], &[]), both());
    finds_nothing(report(&["b"], &[], &["c"]), both());
    let rule = "reported as delivered, and didn't run";
    finds(rule, report(&["b", "c"], &[], &[]), vec![ran("b")]);
    let rule = "ran, and the report doesn't say so";
    finds(rule, report(&["b"], &[], &[]), both());
    finds(rule, report(&["b"], &["c"], &[]), both());
    let twice = vec![ran("b"), ran("b")];
    finds("doubled", report(&["b"], &[], &[]), twice);
}

pub(crate) fn items_that_are_lost_untold_or_come_twice_are_found() {
    let sender = || (0..5).flat_map(publishing).collect::<Vec<_>>();
    finds_nothing(sender(), vec![item(0, 0), item(1, 0), item(4, 2)]);
    let untold = "a gap that isn't told exactly";
    finds(untold, sender(), vec![item(0, 0), item(2, 0)]);
    finds(untold, sender(), vec![item(0, 0), item(2, 2)]);
    let twice = "an item doubled or out of order";
    finds(twice, sender(), vec![item(0, 0), item(0, 0)]);
    finds(twice, sender(), vec![item(1, 0), item(0, 0)]);
    finds("an item that nobody published", sender(), vec![item(9, 0)]);
    // The last of all has no item behind it that would tell.
    let accounts = [
        account(SENDER, sender()),
        account(RECEIVER, vec![item(0, 0), item(3, 2)]),
    ];
    assert!(check(&accounts, Bounds::default()).1.is_empty());
    let awaited = super::awaited(&accounts);
    assert_eq!(awaited, ["b has 4 of 5 items of a/item"]);
}

pub(crate) fn what_was_altered_is_found() {
    let mut altered = ran(0);
    if let Line::Ran { intact, .. } = &mut altered {
        *intact = false;
    }
    let sender = vec![sending(0), ended(0, answered())];
    finds("a payload was altered", sender, vec![altered]);
    let mut altered = item(0, 0);
    if let Line::Item(got) = &mut altered {
        got.intact = false;
    }
    finds("an item was altered", publishing(0).into(), vec![altered]);
}

/// All of the above.
pub(crate) const ALL: [(&str, fn()); 9] = [
    (
        "what_is_as_it_should_be_passes",
        what_is_as_it_should_be_passes,
    ),
    (
        "a_message_that_ran_twice_is_found",
        a_message_that_ran_twice_is_found,
    ),
    (
        "a_message_that_was_lost_is_found",
        a_message_that_was_lost_is_found,
    ),
    (
        "a_second_outcome_and_a_wrong_one_are_found",
        a_second_outcome_and_a_wrong_one_are_found,
    ),
    (
        "messages_out_of_order_are_found",
        messages_out_of_order_are_found,
    ),
    ("what_comes_late_is_found", what_comes_late_is_found),
    (
        "a_broadcast_that_did_not_do_what_its_report_says_is_found",
        a_broadcast_that_did_not_do_what_its_report_says_is_found,
    ),
    (
        "items_that_are_lost_untold_or_come_twice_are_found",
        items_that_are_lost_untold_or_come_twice_are_found,
    ),
    ("what_was_altered_is_found", what_was_altered_is_found),
];
