//! What a policy lets a node say to the registry: who holds a lesser secret has no other's names, and
//! speaks for no other node. Pure; the policy is a function.

use botzilla::directory::messages::{Claim, Outcome, Register, RegisterReply, Registered};
use botzilla_wire::NodeId;

use crate::{desk::Reply, store::Store, table::Table};

/// Whether it may speak for its node. One that holds names which the key may not be is another's, whose
/// id it claims: it would take those names, or the node's addresses, away.
pub(crate) fn speak<S: Store>(
    table: &Table<S>,
    from: NodeId,
    may_register: impl Fn(&str) -> Result<(), String>,
) -> Result<(), String> {
    let held = table.held_by(from);
    held.iter().try_for_each(|name| may_register(name))
}

/// What of a registration may be made, if anything, and where its answer goes: there the claims that are
/// denied get theirs, each in its place.
pub(crate) fn register<S: Store>(
    table: &Table<S>,
    from: NodeId,
    mut msg: Register,
    may_register: impl Fn(&str) -> Result<(), String>,
    reply: Reply<RegisterReply>,
) -> (Option<Register>, Reply<RegisterReply>) {
    let speaks = speak(table, from, &may_register);
    let mut denied: Vec<(usize, Registered)> = Vec::new();
    let mut allowed: Vec<Claim> = Vec::new();
    for (at, claim) in std::mem::take(&mut msg.components).into_iter().enumerate() {
        let name = &claim.component.name;
        match speaks.clone().and_then(|()| may_register(name)) {
            Ok(()) => allowed.push(claim),
            Err(reason) => {
                let (name, outcome) = (name.clone(), Outcome::Denied { reason });
                denied.push((at, Registered { name, outcome }));
            }
        }
    }
    msg.components = allowed;
    let msg = speaks.is_ok().then_some(msg);
    if denied.is_empty() {
        return (msg, reply);
    }
    let with_denied = move |mut answer: RegisterReply| {
        // In ascending order, so each is put where it was.
        for (at, result) in denied {
            answer.results.insert(at.min(answer.results.len()), result);
        }
        reply(answer);
    };
    (msg, Box::new(with_denied))
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex},
        time::{Duration, Instant},
    };

    use botzilla::directory::facts::{ComponentFacts, NodeFacts};

    use super::*;
    use crate::{
        desk::Desk,
        table::{Link, Rules},
    };

    fn node(n: u8) -> NodeId {
        NodeId([n; 16])
    }

    fn msg(from: NodeId, names: &[&str]) -> Register {
        let claim = |name: &&str| Claim {
            component: ComponentFacts {
                name: (*name).to_owned(),
                count: 1,
                ..ComponentFacts::default()
            },
            ..Claim::default()
        };
        Register {
            node: NodeFacts {
                id: from.to_string(),
                ..NodeFacts::default()
            },
            components: names.iter().map(claim).collect(),
            complete: true,
            wait_ms: 0,
        }
    }

    fn tablet(name: &str) -> Result<(), String> {
        if name.starts_with("tablet") {
            Ok(())
        } else {
            Err(format!("not {name}"))
        }
    }

    /// What becomes of a registration: names with whether they were granted or denied.
    fn ask(
        desk: &mut Desk,
        from: NodeId,
        names: &[&str],
        may: impl Fn(&str) -> Result<(), String>,
    ) -> Vec<(String, bool)> {
        let answer: Arc<Mutex<Option<RegisterReply>>> = Arc::default();
        let put = Arc::clone(&answer);
        let reply: Reply<RegisterReply> = Box::new(move |reply| *put.lock().unwrap() = Some(reply));
        let now = Instant::now();
        let links = |_: NodeId| {
            Some(Link {
                connected: true,
                last_heard: now,
                address: None,
            })
        };
        let (msg, reply) = register(desk.table(), from, msg(from, names), may, reply);
        match msg {
            Some(msg) => desk.register(now, &links, from, msg, reply),
            None => reply(desk.nothing_registered()),
        }
        let answer = answer.lock().unwrap().take().unwrap();
        let results = answer.results.into_iter();
        results
            .map(|it| match it.outcome {
                Outcome::Granted { .. } => (it.name, true),
                Outcome::Denied { .. } => (it.name, false),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn desk() -> Desk {
        let rules = Rules {
            recovery: Duration::ZERO,
            ..Rules::default()
        };
        let now = Instant::now();
        Desk::new(Table::new(rules, 1, now), now)
    }

    #[test]
    fn each_claim_is_answered_in_its_place() {
        let mut desk = desk();
        let names = ["drive", "tablet/a", "lidar", "tablet/b", "camera"];
        let answers = ask(&mut desk, node(1), &names, tablet);
        let expected = names.map(|name| (name.to_owned(), name.starts_with("tablet")));
        assert_eq!(answers, expected);
        let held = desk.table().held_by(node(1));
        assert_eq!(
            held.iter().map(|it| &**it).collect::<Vec<_>>(),
            ["tablet/a", "tablet/b"]
        );
    }

    #[test]
    fn who_claims_a_nodes_id_takes_nothing_from_it_and_adds_nothing_to_it() {
        let mut desk = desk();
        assert_eq!(
            ask(&mut desk, node(1), &["drive"], |_| Ok(())),
            [("drive".to_owned(), true)]
        );
        let answers = ask(&mut desk, node(1), &["tablet/a"], tablet);
        assert_eq!(answers, [("tablet/a".to_owned(), false)]);
        assert_eq!(ask(&mut desk, node(1), &[], tablet), []);
        assert_eq!(
            *desk.table().held_by(node(1))[0],
            *"drive",
            "it isn't given up"
        );
        assert!(speak(desk.table(), node(1), tablet).is_err());
        assert!(speak(desk.table(), node(2), tablet).is_ok());
    }
}
