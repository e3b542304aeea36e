//! Credit: who waits, in what order, and what stays bounded.

use super::*;
use wire::code::Code;

#[test]
fn who_waits_for_a_window_is_served_in_order_and_never_overtaken() {
    run(async {
        let shelf = Shelf::default();
        let (a, b) = (
            make(1).start(echo),
            make(2)
                .limits(|limits| limits.messages_per_target = 4)
                .start(shelf.put()),
        );
        let link = a.connect(&b).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        for i in 0..40_u8 {
            let (link, order) = (Arc::clone(&link), Arc::clone(&order));
            tokio::task::spawn_local(async move {
                drop(send(&link, tell("b", vec![i])).await);
                order.lock().push(i);
            });
        }
        until(|| shelf.len() == 4).await;
        assert!(matches!(
            try_send(&link, &tell("b", "me first")),
            Err(NotSent::NoCredit)
        ));
        assert!(
            try_send(&link, &tell("other", "")).is_ok(),
            "another target has credit"
        );
        let mut got = Vec::new();
        until(|| {
            for inbound in shelf.take() {
                if inbound.payload.len() == 1 {
                    got.push(inbound.payload[0]);
                }
                inbound.responder.delivered();
            }
            got.len() == 40
        })
        .await;
        assert!(got.iter().copied().eq(0..40), "{got:?}");
        until(|| order.lock().len() == 40).await;
    });
}

#[test]
fn a_waiter_that_goes_away_leaves_its_place_to_the_next() {
    run(async {
        let shelf = Shelf::default();
        let (a, b) = (
            make(1).start(echo),
            make(2)
                .limits(|limits| limits.messages_per_target = 1)
                .start(shelf.put()),
        );
        let link = a.connect(&b).await;
        drop(send(&link, tell("b", "0")).await);
        let mut gone = Vec::new();
        for _ in 0..3 {
            let mut waiting = Box::pin(link.send(tell("b", "gone"), ticket().0));
            assert!(futures_util::poll!(&mut waiting).is_pending());
            gone.push(waiting);
        }
        let mut stays = Box::pin(link.send(tell("b", "stays"), ticket().0));
        assert!(futures_util::poll!(&mut stays).is_pending());
        drop(gone);
        until(|| shelf.len() == 1).await;
        shelf.take().pop().unwrap().responder.delivered();
        stays.await.map_err(|(_, why)| why).unwrap();
        until(|| shelf.len() == 1).await;
        assert_eq!(shelf.take()[0].payload, "stays");
        assert!(link.lock().waiting.is_empty());
    });
}

#[test]
fn a_waiter_dropped_after_it_was_sent_for_is_cancelled() {
    run(async {
        let shelf = Shelf::default();
        let (a, b) = (
            make(1).start(echo),
            make(2)
                .limits(|limits| limits.messages_per_target = 1)
                .start(shelf.put()),
        );
        let link = a.connect(&b).await;
        drop(send(&link, tell("b", "0")).await);
        let mut waiting = Box::pin(link.send(ask("b", "1"), ticket().0));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        until(|| shelf.len() == 1).await;
        shelf.take().pop().unwrap().responder.delivered();
        until(|| shelf.len() == 1).await;
        drop(waiting);
        let inbound = shelf.take().pop().unwrap();
        until(|| inbound.responder.is_cancelled()).await;
        drop(inbound);
        until(|| link.open() == 0).await;
    });
}

#[test]
fn windows_take_turns_when_the_connection_is_what_is_short() {
    run(async {
        let shelf = Shelf::default();
        let b = make(2)
            .limits(|limits| limits.messages_per_connection = 4)
            .start(shelf.put());
        let a = make(1).start(echo);
        let link = a.connect(&b).await;
        for _ in 0..4 {
            drop(send(&link, tell("x", "full")).await);
        }
        // Fifty to one target wait before the one to each of two others.
        let targets = (0..50).map(|_| "busy").chain(["calm", "quiet"]);
        for target in targets {
            let link = Arc::clone(&link);
            tokio::task::spawn_local(async move { drop(send(&link, tell(target, target)).await) });
        }
        until(|| shelf.len() == 4).await;
        let mut order = Vec::new();
        until(|| {
            for inbound in shelf.take() {
                order.push(inbound.payload.clone());
                inbound.responder.delivered();
            }
            order.len() == 56
        })
        .await;
        let place = |name: &str| order.iter().position(|payload| payload == name).unwrap();
        assert!(place("calm") <= 8 && place("quiet") <= 8, "{order:?}");
    });
}

#[test]
fn the_urgent_pass_a_full_window() {
    run(async {
        let shelf = Shelf::default();
        let (a, b) = (make(1).start(echo), make(2).start(shelf.put()));
        let link = a.connect(&b).await;
        while try_send(&link, &tell("b", "")).is_ok() {}
        assert!(try_send(&link, &message(&urgent_to("b"), Kind::Ask, "stop")).is_ok());
        until(|| {
            shelf
                .0
                .lock()
                .iter()
                .any(|inbound| inbound.payload == "stop")
        })
        .await;
    });
}

#[test]
fn a_payload_beyond_what_the_other_side_takes_is_not_sent() {
    run(async {
        let (a, b) = (
            make(1).start(echo),
            make(2).limits(|limits| limits.payload = 1000).start(echo),
        );
        let link = a.connect(&b).await;
        assert!(matches!(
            try_send(&link, &ask("b", vec![0; 1001])),
            Err(NotSent::TooLarge { max: 1000 })
        ));
        assert_eq!(reply(&link, ask("b", vec![0; 1000])).await.len(), 1000);
    });
}

#[test]
fn who_does_not_read_its_replies_gets_some_and_then_overloaded() {
    run(async {
        const REPLY: usize = 256 * 1024;
        let b = make(2)
            .limits(|limits| limits.reply_bytes = 1 << 20)
            .start(|inbound| {
                inbound.responder.reply(vec![1; REPLY].into());
            });
        let patient = |limits: &mut Limits| limits.dead_after = LONG;
        let a = make(1).limits(patient).start(echo);
        let proxy = Proxy::to(b.address).await;
        let link = a
            .links
            .connect(b.id, &[proxy.address.to_string()], soon())
            .await
            .unwrap();
        proxy.set(Wire::NothingBack);
        let mut ends = Vec::new();
        for _ in 0..200 {
            ends.push(send(&link, ask("b", "")).await);
        }
        until(|| b.host.requests() == 200).await;
        proxy.set(Wire::Forward);
        let (mut replied, mut overloaded) = (0, 0);
        for end in ends {
            match end.await.unwrap() {
                Ended::Reply(payload) => replied += usize::from(payload.len() == REPLY),
                Ended::Failed(failure) if failure.code == Code::Overloaded => overloaded += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(replied + overloaded, 200);
        // What the session owes, and what the sockets on the way had room for.
        assert!(
            overloaded > 0 && replied >= 4,
            "{replied} replies, {overloaded} overloaded"
        );
    });
}

#[test]
fn a_stuck_target_holds_up_nobody_else_on_the_connection() {
    run(async {
        let shelf = Shelf::default();
        let put = shelf.put();
        let b = make(2).start(move |inbound| match &inbound.route.info.scope {
            Scope::Component(name) if *name == "stuck" => put(inbound),
            _ => echo(inbound),
        });
        let a = make(1).start(echo);
        let link = a.connect(&b).await;
        for _ in 0..10_000 {
            let link = Arc::clone(&link);
            tokio::task::spawn_local(async move { drop(send(&link, tell("stuck", "")).await) });
        }
        for i in 0..1000_u32 {
            let payload = i.to_le_bytes().to_vec();
            assert_eq!(reply(&link, ask("free", payload.clone())).await, payload);
        }
        assert_eq!(shelf.len(), 256);
    });
}
