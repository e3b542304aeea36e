//! Which of two connections is kept.

use super::*;

#[test]
fn of_a_thousand_crossed_dials_one_connection_each_is_left_and_order_holds() {
    run(async {
        for round in 0..1000_u32 {
            let (got_a, got_b) = (Shelf::default(), Shelf::default());
            let (a, b) = (make(1).start(got_a.put()), make(2).start(got_b.put()));
            // Now one, now the other is a little earlier.
            let late = |turns: u32| async move {
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
            };
            let (from_a, from_b) = tokio::join!(
                async {
                    late(round % 7).await;
                    a.connect(&b).await
                },
                async {
                    late(round / 7 % 7).await;
                    b.connect(&a).await
                }
            );
            for i in 0..20_u8 {
                let (at_a, at_b) = (a.connect(&b).await, b.connect(&a).await);
                assert!(
                    Arc::ptr_eq(&at_a, &from_a) && Arc::ptr_eq(&at_b, &from_b),
                    "round {round}"
                );
                drop(send(&at_a, tell("b", vec![i])).await);
                drop(send(&at_b, tell("a", vec![i])).await);
            }
            assert_eq!(from_a.id(), from_b.id(), "round {round}");
            until(|| got_a.len() == 20 && got_b.len() == 20).await;
            for got in [got_a, got_b] {
                let order: Vec<u8> = got
                    .take()
                    .iter()
                    .map(|inbound| inbound.payload[0])
                    .collect();
                assert!(order.iter().copied().eq(0..20), "round {round}: {order:?}");
            }
            assert_eq!((a.host.downs(), b.host.downs()), (0, 0), "round {round}");
            assert_eq!((a.host.ups(), b.host.ups()), (1, 1), "round {round}");
            tokio::join!(a.shutdown(), b.shutdown());
        }
    });
}

#[test]
fn a_dial_is_shared_by_all_who_wait_for_it() {
    run(async {
        let (a, b) = (make(1).start(echo), make(2).start(echo));
        let (one, two, three) = tokio::join!(a.connect(&b), a.connect(&b), a.connect(&b));
        assert!(Arc::ptr_eq(&one, &two) && Arc::ptr_eq(&two, &three));
        assert_eq!(b.host.ups(), 1);
    });
}

#[test]
fn a_new_connection_ends_the_old_first_and_what_was_not_read_from_it_never_runs() {
    run(async {
        let (a, b) = (make(1).start(echo), make(2).start(echo));
        let proxy = Proxy::to(b.address).await;
        let old = a
            .links
            .connect(b.id, &[proxy.address.to_string()], soon())
            .await
            .unwrap();
        assert_eq!(reply(&old, ask("b", "1")).await, "1");
        // Under way when `a` gives the connection up, and let go once the new one is there.
        proxy.set(Wire::Stalled);
        let lost = send(&old, tell("b", "2")).await;
        tokio::task::yield_now().await;
        a.links.ended(&old, "given up by the test");
        let why = lost.await.unwrap();
        assert!(
            matches!(
                &why,
                Ended::Disconnected {
                    may_have_run: true,
                    ..
                }
            ),
            "{why:?}"
        );
        let new = a.connect(&b).await;
        assert_ne!(new.id(), old.id());
        proxy.set(Wire::Forward);
        assert_eq!(reply(&new, ask("b", "3")).await, "3");
        until(|| b.host.downs() == 1).await;
        assert!(
            b.host.downs.lock()[0].1.contains("newer"),
            "{:?}",
            b.host.downs.lock()
        );
        assert_eq!(b.links.current(a.id).unwrap().id(), new.id());
        assert_eq!(b.host.requests(), 2, "the stalled one is gone");
    });
}

#[test]
fn a_node_that_lost_its_connection_gets_a_new_one_from_the_side_that_still_has_it() {
    run(async {
        let (a, b) = (make(1).start(echo), make(2).start(echo));
        let proxy = Proxy::to(b.address).await;
        let old = a
            .links
            .connect(b.id, &[proxy.address.to_string()], soon())
            .await
            .unwrap();
        until(|| b.links.is_connected(a.id)).await;
        // `b` has lost it and dials; `a`, which dialled the old one itself, must see that it's not a crossing.
        proxy.set(Wire::Stalled);
        b.links
            .ended(&b.links.current(a.id).unwrap(), "lost by the test");
        let new = b.connect(&a).await;
        assert_eq!(reply(&new, ask("a", "hello")).await, "hello");
        assert!(!old.is_open());
        assert_eq!(a.links.current(b.id).unwrap().id(), new.id());
    });
}

#[test]
fn a_node_whose_dial_goes_nowhere_takes_the_other_sides() {
    run(async {
        let (a, b) = (make(1).start(echo), make(2).start(echo));
        // Takes connections and says nothing: for as long, a's dial is in its handshake.
        let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mute = mute.local_addr().map(|address| (address, mute)).unwrap();
        let addresses = [mute.0.to_string(), b.address.to_string()];
        let a_dials = a.links.connect(b.id, &addresses, soon());
        let (at_a, at_b) = tokio::join!(a_dials, b.connect(&a));
        assert_eq!(at_a.unwrap().id(), at_b.id());
    });
}
