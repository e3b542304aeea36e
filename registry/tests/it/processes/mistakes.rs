//! What a person gets wrong, between processes: each answer says what, and what to do.

use std::time::Duration;

use botzilla::Reason;
use serde_json::json;

use super::{
    support::{RegistryProcess, run, who},
    talk::{Echo, kind},
};

/// A message that the other process has with its fields in another order.
#[botzilla::message(reply = u64, name = "Work")]
struct Reordered {
    ms: u64,
    n: u64,
}

/// And one whose field is another.
#[botzilla::message(name = "Note")]
struct Renamed {
    from: String,
    number: u64,
}

#[botzilla::message]
struct Unheard {}

#[test]
fn a_name_that_another_process_has_is_refused_with_who_has_it() {
    run(async {
        let registry = RegistryProcess::fresh().await;
        let holder = registry.node("drive").await;
        let node = registry.here().await;
        let before = who(&node, "drive").await;
        let mut second = registry.begin_node("drive");
        let refused = second.says("failed").await;
        assert!(
            refused.contains("the name \"drive\" is taken by"),
            "{refused}"
        );
        let pid = format!("(pid {})", holder.process.pid());
        assert!(refused.contains(&pid), "{refused}");
        assert!(refused.contains("choose another name"), "{refused}");
        assert_eq!(who(&node, "drive").await, before);
        node.shutdown(Duration::ZERO).await;
    });
}

#[test]
fn what_a_process_does_not_have_or_take_is_said_with_what_it_has() {
    run(async {
        let registry = RegistryProcess::fresh().await;
        let _process = registry.node("drive lidar").await;
        let node = registry.here().await;

        let error = node
            .component("lidra")
            .ask(Echo { n: 1 })
            .await
            .unwrap_err();
        assert_eq!(kind(error.reason()), "no such component");
        assert!(error.to_string().contains("close names: lidar"), "{error}");

        let drive = node.component("drive");
        let error = drive.ask(Unheard {}).await.unwrap_err();
        assert!(matches!(error.reason(), Reason::NoHandler(_)), "{error}");
        assert!(
            error
                .to_string()
                .contains("it handles AskOther, Begin, Block"),
            "{error}"
        );
        let error = drive.tell(Unheard {}).await.unwrap().await.unwrap_err();
        assert!(
            error
                .to_string()
                .contains("it handles AskOther, Begin, Block"),
            "{error}"
        );

        let error = drive
            .ask_json("Echo", &json!({ "n": 1, "speed": 2 }), None)
            .await
            .unwrap_err();
        assert!(matches!(error.reason(), Reason::BadPayload(_)), "{error}");
        assert!(error.to_string().contains("speed"), "{error}");
        let error = drive.ask_json("Echo", &json!({}), None).await.unwrap_err();
        assert!(error.to_string().contains("missing field `n`"), "{error}");
        let reply = drive
            .ask_json("Echo", &json!({ "n": 1 }), None)
            .await
            .unwrap();
        assert_eq!(reply["who"]["name"], "drive");
        node.shutdown(Duration::ZERO).await;
    });
}

#[test]
fn types_that_differ_are_refused_with_the_first_field_that_does() {
    run(async {
        let registry = RegistryProcess::fresh().await;
        let _process = registry.node("drive").await;
        let node = registry.here().await;
        let drive = node.component("drive");

        let error = drive.ask(Reordered { ms: 1, n: 2 }).await.unwrap_err();
        assert!(matches!(error.reason(), Reason::WrongSchema(_)), "{error}");
        let text = error.to_string();
        assert!(text.contains("`ms`") && text.contains("`n`"), "{text}");
        assert!(!error.may_have_run(), "{text}");

        let renamed = || Renamed {
            from: "me".into(),
            number: 1,
        };
        let error = drive.tell(renamed()).await.unwrap().await.unwrap_err();
        assert!(matches!(error.reason(), Reason::WrongSchema(_)), "{error}");
        let text = error.to_string();
        assert!(text.contains("`number`") && text.contains("`n`"), "{text}");

        let report = node.broadcast(renamed()).await.unwrap();
        let [failed] = &report.failed[..] else {
            panic!("{report:?}")
        };
        assert_eq!(failed.component, "drive");
        assert!(
            failed.reason.contains("the two sides' types differ"),
            "{failed:?}"
        );
        assert!(failed.reason.contains("`number`"), "{failed:?}");
        node.shutdown(Duration::ZERO).await;
    });
}
