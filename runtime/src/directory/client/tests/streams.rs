use super::*;
use crate::directory::{located::StreamInfo, own::Offer};

fn info(name: &str) -> StreamInfo {
    StreamInfo {
        name: name.into(),
        type_name: "Scan".into(),
        fingerprint: Some(botzilla_wire::fingerprint::Fingerprint([7; 8])),
        reliable: true,
        depth: 8,
        keep_last: 1,
    }
}

fn offer(component: &str, count: u64, streams: &[&str]) -> Offer {
    Offer {
        component: name(component),
        count,
        groups: vec![name("sensors")],
        streams: streams.iter().copied().map(info).collect(),
    }
}

fn counted(name: &str, count: u64) -> ComponentFacts {
    ComponentFacts {
        count,
        ..component(name)
    }
}

/// `component/stream`, with a mark at those of this node.
fn seen(directory: &Directory) -> Vec<String> {
    let text = |it: FoundStream| {
        let mark = if it.place.is_none() { "!" } else { "" };
        format!("{}/{}{mark}", it.component, it.info.name)
    };
    directory.streams().into_iter().map(text).collect()
}

fn told(node: &Node, name: &str) -> Vec<String> {
    let registry = node.registry.borrow();
    let streams = registry.streams.get(name).into_iter().flatten();
    streams.map(|it| it.name.clone()).collect()
}

async fn until_told(node: &Node, name: &str, streams: &[&str]) {
    while told(node, name) != streams {
        tokio::task::yield_now().await;
    }
}

#[test]
fn what_the_registry_is_told_of_a_stream_is_what_it_is() {
    let scan = info("scan");
    assert_eq!(StreamInfo::new(&scan.facts()), Ok(scan));
    let broken = StreamFacts {
        fingerprint: Some("x".into()),
        ..StreamFacts::default()
    };
    StreamInfo::new(&broken).unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn streams_that_begin_before_their_component_has_its_name_are_told_with_it() {
    beside(|directory, node| async move {
        let offered = offer("lidar", 3, &["scan"]);
        directory.set_streams(offered).unwrap();
        assert_eq!(seen(&directory), ["lidar/scan!"]);
        let decision = directory.announce(&name("lidar"), counted("lidar", 3));
        assert_eq!(decision.await.unwrap(), Ok(()));
        assert_eq!(told(&node, "lidar"), ["scan"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn streams_that_begin_and_end_later_are_told_and_only_when_they_are_others() {
    beside(|directory, node| async move {
        let decision = directory.announce(&name("lidar"), counted("lidar", 1));
        decision.await.unwrap().unwrap();
        in_touch(&directory).await;
        node.log();
        let mut news = directory.streams_news();
        for streams in [&["scan"][..], &["scan"], &["raw", "scan"]] {
            directory.set_streams(offer("lidar", 1, streams)).unwrap();
        }
        assert!(news.has_changed().unwrap());
        until_told(&node, "lidar", &["raw", "scan"]).await;
        assert_eq!(node.log(), ["new lidar!"], "one message for all of it");
        news.mark_unchanged();
        directory.set_streams(offer("lidar", 1, &[])).unwrap();
        assert!(news.has_changed().unwrap());
        until_told(&node, "lidar", &[]).await;
        assert!(seen(&directory).is_empty());
        assert!(node.registry.borrow().names.contains_key("lidar"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_restarts_is_told_of_streams_again() {
    beside(|directory, node| async move {
        let decision = directory.announce(&name("lidar"), counted("lidar", 1));
        decision.await.unwrap().unwrap();
        directory.set_streams(offer("lidar", 1, &["scan"])).unwrap();
        until_told(&node, "lidar", &["scan"]).await;
        in_touch(&directory).await;
        node.change(Registry::restart);
        assert!(told(&node, "lidar").is_empty());
        assert_eq!(seen(&directory), ["lidar/scan!"]);
        let mut status = directory.status();
        status.wait_for(|status| !status.in_touch).await.unwrap();
        in_touch(&directory).await;
        assert_eq!(told(&node, "lidar"), ["scan"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_streams_of_others_are_found_by_name_and_all_together() {
    beside(|directory, node| async move {
        in_touch(&directory).await;
        let mut news = directory.streams_news();
        node.change(|registry| {
            let streams = vec![info("scan").facts()];
            registry.streams.insert("lidar".into(), streams);
            registry.give("lidar", OTHER);
        });
        news.changed().await.unwrap();
        let scan = directory.stream("lidar", "scan").unwrap();
        assert_eq!((scan.node, scan.info.clone()), (OTHER, info("scan")));
        assert_eq!(scan.place.as_ref().unwrap().id, OTHER);
        assert!(directory.stream("lidar", "raw").is_none());
        directory
            .set_streams(offer("base", 1, &["odometry"]))
            .unwrap();
        assert_eq!(seen(&directory), ["base/odometry!", "lidar/scan"]);
        let own = directory.stream("base", "odometry").unwrap();
        assert!(own.node == US && own.is_in("sensors") && !own.is_in("base"));
        // One that streams nothing is no news of streams.
        news.mark_unchanged();
        node.change(|registry| registry.give("quiet", OTHER));
        while directory.get("quiet").is_none() {
            tokio::task::yield_now().await;
        }
        assert!(!news.has_changed().unwrap());
        node.change(|registry| registry.forget("lidar"));
        directory.link_lost(&node, &OTHER);
        while directory.get("lidar").is_some() {
            tokio::task::yield_now().await;
            directory.link_lost(&node, &OTHER);
        }
        assert!(news.has_changed().unwrap());
        assert_eq!(seen(&directory), ["base/odometry!"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn with_its_name_a_component_s_streams_are_gone_and_an_earlier_instance_says_nothing_more() {
    beside(|directory, node| async move {
        directory.set_streams(offer("lidar", 1, &["scan"])).unwrap();
        let first = directory.announce(&name("lidar"), counted("lidar", 1));
        first.await.unwrap().unwrap();
        directory.withdraw(&name("lidar"));
        assert!(seen(&directory).is_empty());
        directory.set_streams(offer("lidar", 2, &["raw"])).unwrap();
        let second = directory.announce(&name("lidar"), counted("lidar", 2));
        second.await.unwrap().unwrap();
        for late in [&["scan"][..], &[]] {
            directory.set_streams(offer("lidar", 1, late)).unwrap();
        }
        assert_eq!(seen(&directory), ["lidar/raw!"]);
        in_touch(&directory).await;
        node.change(|registry| registry.give("lidar", OTHER));
        while node.registry.borrow().lost.is_empty() {
            tokio::task::yield_now().await;
        }
        assert!(
            directory
                .stream("lidar", "raw")
                .is_none_or(|it| it.node == OTHER)
        );
    })
    .await;
}

#[test]
fn more_streams_than_the_registry_takes_are_refused_and_the_component_keeps_its_name() {
    let directory = Directory::new(US);
    let _decision = directory.announce(&name("lidar"), counted("lidar", 1));
    directory.set_streams(offer("lidar", 1, &["scan"])).unwrap();
    let many: Vec<String> = (0..1000).map(|count| format!("scan-{count}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let error = directory.set_streams(offer("lidar", 1, &many)).unwrap_err();
    assert!(error.bytes > 65_536 && error.to_string().contains("fewer streams"));
    assert_eq!(seen(&directory), ["lidar/scan!"]);
}
