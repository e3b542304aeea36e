//! Asks, tells, outcomes.

use super::*;
use wire::code::{Code, Failure};

#[test]
fn an_ask_is_answered_over_one_kept_connection_in_both_directions() {
    run(async {
        let (a, b) = (make(1).start(echo), make(2).start(echo));
        let there = a.connect(&b).await;
        assert_eq!(reply(&there, ask("b", "ping")).await, "ping");
        assert!(Arc::ptr_eq(&there, &a.connect(&b).await));
        until(|| b.links.is_connected(a.id)).await;
        let back = b.links.current(a.id).unwrap();
        assert_eq!(reply(&back, ask("a", "pong")).await, "pong");
        assert_eq!(back.id(), there.id());
        assert!(there.dialled() && !back.dialled());
        assert_eq!((a.host.ups(), b.host.ups()), (1, 1));
        assert_eq!((a.host.requests(), b.host.requests()), (1, 1));
    });
}

#[test]
fn requests_come_in_order_with_route_kind_path_and_deadline() {
    run(async {
        let shelf = Shelf::default();
        let (a, b) = (make(1).start(echo), make(2).start(shelf.put()));
        let link = a.connect(&b).await;
        let path: Arc<[Name]> = ["x", "y"].map(|name| Name::new(name).unwrap()).into();
        for i in 0..100_u8 {
            let mut out = if i % 2 == 0 {
                ask("b", vec![i])
            } else {
                tell("b", vec![i])
            };
            out.path = Some(Arc::clone(&path)).filter(|_| i % 3 == 0);
            try_send(&link, &out).unwrap();
        }
        until(|| shelf.len() == 100).await;
        let got = shelf.take();
        let first = Arc::clone(&got[0].route);
        for (i, inbound) in got.into_iter().enumerate() {
            assert_eq!(inbound.payload, vec![i as u8]);
            assert_eq!(
                inbound.kind,
                if i % 2 == 0 { Kind::Ask } else { Kind::Tell }
            );
            assert_eq!(inbound.path.len(), if i % 3 == 0 { 2 } else { 0 });
            assert!(Arc::ptr_eq(&inbound.route, &first), "one route, one cache");
            assert!(inbound.deadline > Instant::now() && inbound.deadline <= soon());
        }
    });
}

#[test]
fn every_outcome_reaches_the_ticket() {
    run(async {
        let shelf = Shelf::default();
        let (a, b) = (make(1).start(echo), make(2).start(shelf.put()));
        let link = a.connect(&b).await;
        let sent = [
            ask("b", ""),
            tell("b", ""),
            ask("b", ""),
            ask("b", ""),
            tell("b", ""),
        ];
        let mut ends = Vec::new();
        for out in sent {
            ends.push(send(&link, out).await);
        }
        until(|| shelf.len() == 5).await;
        let mut got = shelf.take().into_iter().map(|inbound| inbound.responder);
        got.next().unwrap().reply(Bytes::from_static(b"yes"));
        got.next().unwrap().delivered();
        got.next()
            .unwrap()
            .fail(Failure::refused(Code::NoHandler, "none such"));
        drop(got.next());
        drop(got.next());
        let mut ended = Vec::new();
        for end in ends {
            ended.push(end.await.unwrap());
        }
        assert!(matches!(&ended[0], Ended::Reply(payload) if payload == "yes"));
        assert!(matches!(&ended[1], Ended::Delivered));
        assert!(
            matches!(&ended[2], Ended::Failed(failure) if failure.code == Code::NoHandler && failure.detail == "none such")
        );
        for unanswered in &ended[3..] {
            assert!(
                matches!(unanswered, Ended::Failed(failure) if failure.code == Code::NoReply && failure.may_have_run)
            );
        }
        assert_eq!((link.open(), b.links.current(a.id).unwrap().owed()), (0, 0));
    });
}

#[test]
fn a_large_payload_goes_there_and_back_while_small_ones_pass_it() {
    run(async {
        let (a, b) = (make(1).start(echo), make(2).start(echo));
        let link = a.connect(&b).await;
        let large = Bytes::from(
            (0..8 << 20)
                .map(|i: u32| (i >> 8) as u8 ^ i as u8)
                .collect::<Vec<_>>(),
        );
        let slow = send(&link, ask("b", large.clone())).await;
        assert_eq!(reply(&link, ask("c", "small")).await, "small");
        assert!(matches!(slow.await.unwrap(), Ended::Reply(payload) if payload == large));
    });
}

#[test]
fn a_cancelled_ask_is_made_known_to_the_other_side() {
    run(async {
        let shelf = Shelf::default();
        let (a, b) = (make(1).start(echo), make(2).start(shelf.put()));
        let link = a.connect(&b).await;
        let (ticket, ended) = ticket();
        let id = link
            .send(ask("b", ""), ticket)
            .await
            .map_err(|(_, why)| why)
            .unwrap();
        until(|| shelf.len() == 1).await;
        assert!(link.cancel(id).is_none(), "it may have run");
        let inbound = shelf.take().pop().unwrap();
        until(|| inbound.responder.is_cancelled()).await;
        inbound.responder.reply(Bytes::from_static(b"late"));
        assert!(!matches!(ended.await, Ok(Ended::Reply(_))));
        until(|| link.open() == 0).await;
    });
}

#[test]
fn a_cancel_that_comes_with_the_end_leaves_nothing_behind() {
    run(async {
        let shelf = Shelf::default();
        let (a, b) = (make(1).start(echo), make(2).start(shelf.put()));
        let link = a.connect(&b).await;
        let (ticket, _ended) = ticket();
        let sent = link.send(ask("b", ""), ticket).await;
        let id = sent.map_err(|(_, why)| why).unwrap();
        until(|| shelf.len() == 1).await;
        let theirs = b.links.current(a.id).unwrap();
        assert!(link.cancel(id).is_none());
        until(|| theirs.cancels.len() == 1).await;
        let inbound = shelf.take().pop().unwrap();
        inbound.responder.reply(Bytes::new());
        assert_eq!(theirs.cancels.len(), 0);
        // It was read before the end and is handed out after it.
        theirs.cancelled(1);
        assert_eq!(theirs.cancels.len(), 0);
    });
}

#[test]
fn any_thread_sends_and_answers_without_a_runtime() {
    run(async {
        let shelf = Shelf::default();
        let (a, b) = (make(1).start(echo), make(2).start(shelf.put()));
        let link = a.connect(&b).await;
        let sending = std::thread::spawn(move || try_send(&link, &ask("b", "x")).unwrap());
        until(|| shelf.len() == 1).await;
        let inbound = shelf.take().pop().unwrap();
        std::thread::spawn(move || inbound.responder.reply(inbound.payload));
        assert!(
            matches!(sending.join().unwrap().await.unwrap(), Ended::Reply(payload) if payload == "x")
        );
    });
}

#[test]
fn an_idle_connection_ends_unless_it_is_kept() {
    run(async {
        let quick = |limits: &mut Limits| {
            limits.ping_every = Duration::from_millis(20);
            limits.idle_after = Duration::from_millis(60);
        };
        let a = make(1).limits(quick).start(echo);
        let (b, c) = (make(2).start(echo), make(3).start(echo));
        a.links.keep(c.id, true);
        let kept = a.connect(&c).await;
        a.connect(&b).await;
        until(|| a.host.downs() == 1).await;
        let (peer, why) = a.host.downs.lock()[0].clone();
        assert_eq!(peer, b.id, "{why}");
        until(|| b.host.downs() == 1).await;
        assert!(b.host.downs.lock()[0].1.contains("idle"));
        assert_eq!(reply(&kept, ask("c", "still here")).await, "still here");
    });
}
