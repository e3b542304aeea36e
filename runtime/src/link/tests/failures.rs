//! Dials that can't succeed, and what they say.

use super::*;
use botzilla_wire::handshake::HandshakeError;

async fn refused(node: &Node, address: &str) -> ConnectError {
    node.links
        .connect_address(address, soon())
        .await
        .unwrap_err()
}

#[test]
fn a_wrong_secret_is_said_so_on_the_dialling_side_and_has_no_effect_on_the_other() {
    run(async {
        let b = make(2).start(echo);
        for (wrong, what) in [
            (secret("test", 8), "same id"),
            (secret("other", 7), "other id"),
        ] {
            let a = make(1).secret(wrong).start(echo);
            let error = refused(&a, &b.address.to_string()).await;
            let text = error.to_string();
            assert!(
                text.contains("secret") || text.contains("key"),
                "{what}: {text}"
            );
            assert!(text.contains(&b.address.to_string()), "{what}: {text}");
            assert!(error.needs_a_person(), "{what}: {error:?}");
        }
        assert_eq!((b.host.ups(), b.host.requests()), (0, 0));
        until(|| b.links.unproven.lock().len() == 0).await;
    });
}

#[test]
fn nothing_listening_is_a_refused_connection_with_the_address() {
    run(async {
        let a = make(1).start(echo);
        let free = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let error = refused(&a, &free.to_string()).await;
        assert_eq!(
            error.to_string(),
            format!(
                "no connection to {free}: {free}: connection refused: nothing listens there; start it, or check the port"
            )
        );
        assert!(!error.needs_a_person());
    });
}

#[test]
fn all_that_was_tried_is_listed_in_order() {
    run(async {
        let a = make(1).start(echo);
        let free = || {
            std::net::TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
        };
        let tried = [
            free().to_string(),
            free().to_string(),
            "no address".to_owned(),
        ];
        let error = a
            .links
            .connect(NodeId([9; 16]), &tried, soon())
            .await
            .unwrap_err();
        let listed: Vec<_> = error
            .tried()
            .iter()
            .map(|attempt| &*attempt.address)
            .collect();
        assert_eq!(listed, tried);
        assert!(error.to_string().contains(", then "), "{error}");
    });
}

#[test]
fn another_node_at_the_address_is_not_taken_for_the_one_meant() {
    run(async {
        let (a, b) = (make(1).start(echo), make(2).start(echo));
        let meant = NodeId([9; 16]);
        let error = a
            .links
            .connect(meant, &[b.address.to_string()], soon())
            .await
            .unwrap_err();
        assert!(error.to_string().contains(&meant.to_string()), "{error}");
        assert_eq!((a.host.ups(), b.host.ups()), (0, 0));
    });
}

#[test]
fn a_node_does_not_connect_to_itself() {
    run(async {
        let a = make(1).start(echo);
        let own = [a.address.to_string()];
        let by_id = a.links.connect(a.id, &own, soon()).await.unwrap_err();
        let by_address = refused(&a, &own[0]).await;
        for error in [by_id, by_address] {
            assert!(matches!(&error, ConnectError::SelfDial { .. }), "{error:?}");
            assert!(error.to_string().contains("itself"), "{error}");
        }
        assert_eq!(a.host.ups(), 0);
    });
}

#[test]
fn an_http_server_is_no_botzilla() {
    run(async {
        let a = make(1).start(echo);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::task::spawn_local(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 64]).await;
                let _ = stream
                    .write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
                    .await;
            }
        });
        let error = refused(&a, &address).await;
        let [attempt] = error.tried() else {
            panic!("{error:?}")
        };
        assert!(
            matches!(
                &attempt.error,
                AttemptError::Handshake(_) | AttemptError::CutShort
            ),
            "{error:?}"
        );
        assert!(
            error.to_string().to_lowercase().contains("botzilla"),
            "{error}"
        );
    });
}

#[test]
fn who_listens_but_never_answers_is_given_up_in_time() {
    run(async {
        let a = make(1)
            .limits(|limits| limits.handshake_time = Duration::from_millis(100))
            .start(echo);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let error = refused(&a, &address).await;
        let tried = error.tried();
        let slow = |error: &AttemptError| {
            matches!(
                error,
                AttemptError::HandshakeTooSlow { .. }
                    | AttemptError::Handshake(HandshakeError::Refused(_))
            )
        };
        assert!(tried.len() == 1 && slow(&tried[0].error), "{error:?}");
        assert!(error.to_string().contains("100 ms"), "{error}");
    });
}

#[test]
fn a_deadline_is_kept_and_says_what_was_tried_until_then() {
    run(async {
        let a = make(1).start(echo);
        let free = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let both = [free.to_string(), mute.local_addr().unwrap().to_string()];
        let deadline = Instant::now() + Duration::from_millis(200);
        let error = a
            .links
            .connect(NodeId([9; 16]), &both, deadline)
            .await
            .unwrap_err();
        assert!(matches!(error, ConnectError::TimedOut { .. }), "{error:?}");
        assert_eq!(&*error.tried()[0].address, both[0]);
    });
}

#[test]
fn an_address_that_is_none_is_refused_at_once() {
    run(async {
        let a = make(1).start(echo);
        for bad in [
            "",
            "robot",
            "robot:",
            "robot:0",
            "http://robot:80",
            "::1:80",
        ] {
            let error = refused(&a, bad).await;
            assert!(
                error.to_string().contains("write host:port") && error.needs_a_person(),
                "{bad}: {error}"
            );
        }
    });
}
