//! The end of a node's connections.

use super::*;

#[test]
fn an_idle_node_says_goodbye_and_reports_nothing_cut() {
    run(async {
        let (a, b) = (make(1).start(echo), make(2).start(echo));
        let link = a.connect(&b).await;
        assert_eq!(reply(&link, ask("b", "x")).await, "x");
        assert_eq!(a.shutdown().await, LinksReport::default());
        until(|| b.host.downs() == 1).await;
        let (peer, why) = b.host.downs.lock()[0].clone();
        assert!(peer == a.id && why.contains("shuts down"), "{why}");
        let stopped = a
            .links
            .connect(b.id, &[b.address.to_string()], soon())
            .await;
        assert!(matches!(stopped, Err(ConnectError::Stopping)));
        assert!(
            TcpStream::connect(a.address).await.is_err(),
            "nobody listens any more"
        );
    });
}

#[test]
fn what_is_open_ends_first_and_both_ends_count_the_same() {
    run(async {
        let shelf = Shelf::default();
        let (a, b) = (make(1).start(echo), make(2).start(shelf.put()));
        let link = a.connect(&b).await;
        let mut ends = Vec::new();
        for i in 0..50 {
            ends.push(
                send(
                    &link,
                    if i % 2 == 0 {
                        ask("b", "x")
                    } else {
                        tell("b", "y")
                    },
                )
                .await,
            );
        }
        let (report, ()) = tokio::join!(a.shutdown(), async {
            until(|| shelf.len() == 50).await;
            shelf.take().into_iter().for_each(echo);
        });
        assert_eq!(report, LinksReport::default());
        for ended in ends {
            assert!(matches!(
                ended.await.unwrap(),
                Ended::Reply(_) | Ended::Delivered
            ));
        }
        until(|| b.host.counted.lock().len() == 1).await;
        let (sent, received) = (
            a.host.counted.lock()[0].clone(),
            b.host.counted.lock()[0].clone(),
        );
        assert_eq!(sent.outbound, received.inbound);
        let counted = sent.outbound[0].1;
        assert_eq!((counted.sent, counted.delivered, counted.open), (50, 50, 0));
    });
}

#[test]
fn what_hangs_is_cut_at_the_deadline_and_reported() {
    run(async {
        let shelf = Shelf::default();
        let (a, b) = (make(1).start(echo), make(2).start(shelf.put()));
        let link = a.connect(&b).await;
        let mut ends = Vec::new();
        for _ in 0..3 {
            ends.push(send(&link, ask("b", "hang")).await);
        }
        until(|| shelf.len() == 3).await;
        let deadline = Instant::now() + Duration::from_millis(200);
        let report = b.links.shutdown(deadline).await;
        assert_eq!((report.open, report.owed), (0, 3));
        for ended in ends {
            assert!(matches!(
                ended.await.unwrap(),
                Ended::Disconnected {
                    may_have_run: true,
                    ..
                }
            ));
        }
        assert_eq!(
            Arc::strong_count(&b.host),
            1,
            "nothing of the links lives on"
        );
    });
}

#[test]
fn a_dial_in_progress_ends_with_the_node() {
    run(async {
        let a = make(1).start(echo);
        let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = mute.local_addr().unwrap().to_string();
        let dial = a.links.connect_address(&address, soon());
        let (dialled, _) = tokio::join!(dial, a.links.shutdown(soon()));
        assert!(
            matches!(dialled, Err(ConnectError::Stopping)),
            "{dialled:?}"
        );
    });
}
