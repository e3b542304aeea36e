use super::*;

fn stream(name: &str) -> StreamFacts {
    StreamFacts {
        name: name.into(),
        type_name: "Scan".into(),
        fingerprint: Some("00112233445566ff".into()),
        reliable: true,
        depth: 8,
        keep_last: 1,
    }
}

fn counted(name: &str, count: u64) -> ComponentFacts {
    ComponentFacts {
        count,
        ..component(name)
    }
}

/// The lidar offers these streams.
fn offer(directory: &Directory, count: u64, streams: &[&str]) {
    let streams = streams.iter().copied().map(stream).collect();
    directory
        .set_streams(&name("lidar"), count, streams)
        .unwrap();
}

async fn granted(directory: &Directory, count: u64) {
    let decision = directory.announce(&name("lidar"), counted("lidar", count));
    assert_eq!(decision.await.unwrap(), Ok(()));
}

/// What the registry knows of the lidar's streams.
fn told(node: &Node) -> Vec<String> {
    let registry = node.registry.borrow();
    let streams = registry.streams.get("lidar").into_iter().flatten();
    streams.map(|it| it.name.clone()).collect()
}

async fn until_told(node: &Node, streams: &[&str]) {
    while told(node) != streams {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn streams_that_begin_before_their_component_has_its_name_are_told_with_it() {
    beside(|directory, node| async move {
        offer(&directory, 3, &["scan"]);
        granted(&directory, 3).await;
        assert_eq!(told(&node), ["scan"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn streams_that_begin_and_end_later_are_told_in_one_message_and_keep_the_name() {
    beside(|directory, node| async move {
        granted(&directory, 1).await;
        in_touch(&directory).await;
        node.log();
        for streams in [&["scan"][..], &["scan"], &["raw", "scan"]] {
            offer(&directory, 1, streams);
        }
        until_told(&node, &["raw", "scan"]).await;
        assert_eq!(node.log(), ["new lidar!"]);
        offer(&directory, 1, &[]);
        until_told(&node, &[]).await;
        assert!(node.registry.borrow().names.contains_key("lidar"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_restarts_is_told_of_streams_again() {
    beside(|directory, node| async move {
        granted(&directory, 1).await;
        offer(&directory, 1, &["scan"]);
        until_told(&node, &["scan"]).await;
        in_touch(&directory).await;
        node.change(Registry::restart);
        assert!(told(&node).is_empty());
        let mut status = directory.status();
        status.wait_for(|status| !status.in_touch).await.unwrap();
        in_touch(&directory).await;
        assert_eq!(told(&node), ["scan"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_streams_of_others_are_known_as_they_come_and_go() {
    beside(|directory, node| async move {
        in_touch(&directory).await;
        node.change(|registry| {
            registry
                .streams
                .insert("lidar".into(), vec![stream("scan")]);
            registry.give("lidar", OTHER);
        });
        let scan = || directory.get("lidar")?.stream("scan").cloned();
        while scan().is_none() {
            tokio::task::yield_now().await;
        }
        let scan = scan().unwrap();
        assert_eq!((&*scan.type_name, scan.depth), ("Scan", 8));
        node.change(|registry| {
            registry.streams.clear();
            registry.give("lidar", OTHER);
        });
        while directory.get("lidar").unwrap().stream("scan").is_some() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn streams_go_with_the_name_and_an_earlier_instance_says_nothing_more() {
    beside(|directory, node| async move {
        offer(&directory, 1, &["scan"]);
        granted(&directory, 1).await;
        directory.withdraw(&name("lidar"), Removal::Deregistered);
        granted(&directory, 2).await;
        assert!(told(&node).is_empty());
        offer(&directory, 2, &["raw"]);
        for late in [&["scan"][..], &[]] {
            offer(&directory, 1, late);
        }
        until_told(&node, &["raw"]).await;
        assert!(!directory.own.lock().has_news());
    })
    .await;
}

#[test]
fn more_streams_than_the_registry_takes_are_refused_and_the_component_keeps_its_name() {
    let directory = Directory::new();
    let _decision = directory.announce(&name("lidar"), counted("lidar", 1));
    offer(&directory, 1, &["scan"]);
    let many = (0..1000).map(|count| stream(&format!("scan-{count}")));
    let error = directory.set_streams(&name("lidar"), 1, many.collect());
    let error = error.unwrap_err();
    assert!(error.bytes > 65_536 && error.to_string().contains("fewer streams"));
    assert!(directory.own.lock().has_news(), "it is still claimed");
}
