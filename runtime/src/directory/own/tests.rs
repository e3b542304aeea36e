use std::time::Duration;

use super::*;
use crate::directory::messages::Registered;

const SECOND: Duration = Duration::from_secs(1);

fn name() -> Name {
    Name::new("drive").unwrap()
}

fn component(count: u64) -> ComponentFacts {
    ComponentFacts {
        name: "drive".into(),
        count,
        ..ComponentFacts::default()
    }
}

fn answer(recovering: bool, epoch: &str, outcome: Outcome) -> RegisterReply {
    RegisterReply {
        epoch: epoch.into(),
        recovering,
        encrypted: false,
        results: vec![Registered {
            name: "drive".into(),
            outcome,
        }],
    }
}

fn granted(revision: u64) -> Outcome {
    Outcome::Granted { revision }
}

fn connect(own: &mut Own, now: Instant, reply: RegisterReply) -> Standing {
    own.begin();
    let sent = own.whole(NodeFacts::default(), now);
    assert!(own.registered(&sent, reply, now).is_empty());
    sent.components[0].standing
}

fn held(seconds: u64) -> Standing {
    Standing::Held {
        confirmed_ms_ago: seconds * 1000,
    }
}

#[test]
fn a_recovering_registry_s_word_confirms_nothing() {
    let start = Instant::now();
    let mut own = Own::default();
    let _waiter = own.announce(&name(), component(1));
    let reply = answer(false, "a", granted(7));
    assert_eq!(connect(&mut own, start, reply), Standing::New);
    assert!(own.heard_from("a", false, start + 5 * SECOND));
    // Restarted, it says yes and yes again; what counts is what the one before said.
    for seconds in [10, 12, 14] {
        let reply = answer(true, "b", granted(2));
        let now = start + Duration::from_secs(seconds);
        assert_eq!(connect(&mut own, now, reply), held(seconds - 5));
        assert!(own.heard_from("b", true, now));
    }
    assert!(own.heard_from("b", false, start + 20 * SECOND));
    let reply = answer(false, "b", granted(2));
    assert_eq!(connect(&mut own, start + 21 * SECOND, reply), held(1));
}

#[test]
fn an_answer_of_another_start_of_the_registry_means_to_begin_anew() {
    let now = Instant::now();
    let mut own = Own::default();
    let _waiter = own.announce(&name(), component(1));
    assert!(own.heard_from("a", false, now), "nothing was told yet");
    connect(&mut own, now, answer(false, "a", granted(7)));
    assert!(!own.heard_from("b", false, now));
}

#[test]
fn a_name_that_was_ours_and_waits_is_still_claimed_as_ours() {
    let now = Instant::now();
    let mut own = Own::default();
    let _waiter = own.announce(&name(), component(1));
    connect(&mut own, now, answer(false, "a", granted(7)));
    let waiting = Outcome::Waiting {
        reason: Waiting::Recovering,
        left_ms: 1,
    };
    connect(&mut own, now, answer(false, "a", waiting));
    assert!(own.has_news());
    let again = own.undecided(NodeFacts::default(), now, 4000);
    assert_eq!(
        (again.components[0].standing, again.wait_ms),
        (held(0), 4000)
    );
}

#[test]
fn an_answer_about_an_earlier_instance_is_not_about_the_present_one() {
    let now = Instant::now();
    let mut own = Own::default();
    let mut first = own.announce(&name(), component(1));
    let sent = own.whole(NodeFacts::default(), now);
    own.withdraw(&name(), Removal::Deregistered);
    assert!(matches!(
        first.try_recv(),
        Ok(Err(Refused::Withdrawn { .. }))
    ));
    let mut second = own.announce(&name(), component(2));
    assert!(
        own.withdrawn().is_empty(),
        "the second claim replaces the first"
    );
    own.registered(&sent, answer(false, "a", granted(7)), now);
    assert!(second.try_recv().is_err(), "nothing is decided about it");
    let sent = own.undecided(NodeFacts::default(), now, 4000);
    assert_eq!(sent.wait_ms, 0, "it is new to the registry");
    own.registered(&sent, answer(false, "a", granted(8)), now);
    assert_eq!(second.try_recv(), Ok(Ok(())));
    assert!(!own.has_news());
}
