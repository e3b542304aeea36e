//! Who watches a component is told when it comes and goes.

use std::time::Duration;

use botzilla::{
    DownReason::{self, Deregistered, Failed, NotFound},
    Incarnation, Node, OneForAll, Restart, Watch, WatchError, WatchEvent,
    prelude::*,
};
use futures_util::{FutureExt, StreamExt};

use crate::{
    parts::Ping,
    supervision::{Faults, Log, Panics, Part, Stops, in_process, quick},
    world::{SOON, config, run, run_apart, two, until_gone, until_listed},
};

fn part() -> impl Fn() -> Part + Send + 'static {
    Part::factory("part", &Log::default(), &Faults::default())
}

async fn up(watch: &mut Watch) -> Incarnation {
    match watch.next().await {
        Some(WatchEvent::Up { incarnation }) => incarnation,
        other => panic!("{other:?}"),
    }
}

async fn down(watch: &mut Watch) -> (DownReason, Option<Incarnation>) {
    match watch.next().await {
        Some(WatchEvent::Down { why, incarnation }) => (why, incarnation),
        other => panic!("{other:?}"),
    }
}

fn is_silent(watch: &mut Watch) -> bool {
    watch.next().now_or_never().is_none()
}

#[test]
fn a_component_of_the_same_node_is_watched_through_its_lives() {
    run(async {
        let node = in_process().await;
        let mut watch = node.watch("part").unwrap();
        assert_eq!(watch.name(), "part");
        assert_eq!(down(&mut watch).await, (NotFound, None));
        let part_ref = node.spawn("part", part()).await.unwrap();
        let first = up(&mut watch).await;
        assert_eq!(first.node(), node.id());
        assert_eq!(first.count(), node.describe("part").unwrap().count);

        // It is rebuilt in its place, and stays who it is.
        drop(part_ref.ask(Panics).await);
        assert_eq!(part_ref.ask(Ping { n: 1 }).await.unwrap(), 1);
        assert!(is_silent(&mut watch));

        part_ref.ask(Stops).await.unwrap();
        assert_eq!(down(&mut watch).await, (Deregistered, Some(first)));
        let weak = node.spawn("part", part()).restart(Restart::never());
        let weak = weak.await.unwrap();
        let second = up(&mut watch).await;
        assert_ne!(first, second);
        drop(weak.ask(Panics).await);
        assert_eq!(down(&mut watch).await, (Failed, Some(second)));
        // Its present state is what a later one begins with, too.
        let mut late = node.watch("part").unwrap();
        assert_eq!(down(&mut late).await, (NotFound, None));
        node.shutdown(SOON).await;
        assert_eq!(watch.next().await, None);
        assert_eq!(watch.next().await, None);
    });
}

#[test]
fn a_component_is_up_once_it_has_started_and_one_that_does_not_start_never_is() {
    run(async {
        let (node, log, faults) = (in_process().await, Log::default(), Faults::default());
        let mut watch = node.watch("part").unwrap();
        down(&mut watch).await;
        faults
            .starting
            .store(1, std::sync::atomic::Ordering::SeqCst);
        let failed = node
            .spawn("part", Part::factory("part", &log, &faults))
            .await;
        assert!(failed.is_err() && is_silent(&mut watch));
        node.spawn("part", Part::factory("part", &log, &faults))
            .await
            .unwrap();
        up(&mut watch).await;
        node.shutdown(SOON).await;
        // In order, at the node's end.
        assert!(matches!(down(&mut watch).await, (Deregistered, Some(_))));
        assert_eq!(watch.next().await, None);
    });
}

#[test]
fn all_of_those_that_restart_together_go_down_when_they_are_given_up() {
    run(async {
        let node = in_process().await;
        let pair = OneForAll::new(quick(Restart::never()));
        let a = node.spawn("a", || Quiet).restart_with(&pair).await.unwrap();
        node.spawn("b", || Quiet).restart_with(&pair).await.unwrap();
        let mut watches = ["a", "b"].map(|name| node.watch(name).unwrap());
        for watch in &mut watches {
            up(watch).await;
        }
        drop(a.ask(Panics).await);
        for watch in &mut watches {
            assert_eq!(down(watch).await.0, Failed);
        }
        node.shutdown(SOON).await;
    });
}

struct Quiet;

#[botzilla::component]
impl Quiet {
    #[botzilla::handler]
    fn panics(&mut self, _: Panics) {
        panic!("broken");
    }

    #[botzilla::handler]
    fn stops(&mut self, _: Stops, ctx: &Ctx<Self>) {
        ctx.stop();
    }
}

#[test]
fn who_never_reads_is_told_how_its_own_ended_and_what_is_now_and_no_more() {
    run(async {
        let node = in_process().await;
        let first = node.spawn("quiet", || Quiet).await.unwrap();
        let mut watch = node.watch("quiet").unwrap();
        let known = up(&mut watch).await;
        first.ask(Stops).await.unwrap();
        for _ in 0..100 {
            until_gone(&node, "quiet").await;
            let next = node.spawn("quiet", || Quiet).restart(Restart::never());
            drop(next.await.unwrap().ask(Panics).await);
        }
        until_gone(&node, "quiet").await;
        node.spawn("quiet", || Quiet).await.unwrap();
        assert_eq!(down(&mut watch).await, (Deregistered, Some(known)));
        assert_eq!(
            up(&mut watch).await.count(),
            node.describe("quiet").unwrap().count
        );
        assert!(is_silent(&mut watch));
        node.shutdown(SOON).await;
    });
}

#[test]
fn a_watch_that_is_dropped_is_forgotten_and_the_others_go_on() {
    run(async {
        let node = in_process().await;
        let mut kept = node.watch("quiet").unwrap();
        down(&mut kept).await;
        for _ in 0..1_000 {
            let mut dropped = node.watch("quiet").unwrap();
            assert!(dropped.next().now_or_never().is_some());
            // With a waker in it.
            assert!(dropped.next().now_or_never().is_none());
        }
        node.spawn("quiet", || Quiet).await.unwrap();
        up(&mut kept).await;
        node.shutdown(SOON).await;
        // After the end of the node, too.
        let mut late = node.watch("quiet").unwrap();
        assert_eq!(down(&mut late).await, (NotFound, None));
        assert_eq!(late.next().await, None);
        drop((kept, node));
    });
}

#[test]
fn what_cannot_be_watched_is_an_error_that_says_why() {
    run(async {
        let node = in_process().await;
        for name in ["", "a b", "registry", "node/1", "_own"] {
            let error = node.watch(name).unwrap_err();
            assert!(
                matches!(&error, WatchError::BadName { name: it, .. } if it == name),
                "{error}"
            );
        }
        node.shutdown(SOON).await;
        let registry = crate::world::registry().await;
        let short = Node::start(config(registry.address()).short_lived())
            .await
            .unwrap();
        let error = short.watch("drive").unwrap_err();
        assert!(error.to_string().contains("short-lived"), "{error}");
        short.shutdown(SOON).await;
        registry.shutdown(SOON).await;
    });
}

#[test]
fn a_component_elsewhere_is_watched_as_one_here_is() {
    run_apart(async {
        let (registry, here, there) = two().await;
        let mut watch = here.watch("part").unwrap();
        assert_eq!(down(&mut watch).await, (NotFound, None));
        let part_ref = there.spawn("part", part()).await.unwrap();
        let first = up(&mut watch).await;
        assert_eq!(
            (first.node(), first.count()),
            (there.id(), there.describe("part").unwrap().count)
        );
        part_ref.ask(Stops).await.unwrap();
        assert_eq!(down(&mut watch).await, (Deregistered, Some(first)));
        // Given up there.
        let weak = there.spawn("part", part()).restart(Restart::never());
        let weak = weak.await.unwrap();
        let second = up(&mut watch).await;
        drop(weak.ask(Panics).await);
        assert_eq!(down(&mut watch).await, (Failed, Some(second)));
        // Now it is here, which those there are told as well.
        let mut from_there = there.watch("part").unwrap();
        down(&mut from_there).await;
        here.spawn("part", part()).await.unwrap();
        assert_eq!(up(&mut watch).await.node(), here.id());
        assert_eq!(up(&mut from_there).await.node(), here.id());
        until_listed(&there, &["part"]).await;
        here.shutdown(SOON).await;
        assert_eq!(down(&mut from_there).await.0, Deregistered);
        there.shutdown(SOON).await;
        registry.shutdown(SOON).await;
    });
}

#[test]
fn a_stream_of_events_can_be_taken_with_others_and_a_lost_turn_loses_no_event() {
    run(async {
        let node = in_process().await;
        let mut events = node
            .watch("quiet")
            .unwrap()
            .chain(futures_util::stream::empty());
        assert!(events.next().await.is_some());
        // Looked at in vain, as a `select!` does.
        assert!(events.next().now_or_never().is_none());
        let ((), event) = futures_util::future::join(
            async {
                node.spawn("quiet", || Quiet).await.unwrap();
            },
            events.next(),
        )
        .await;
        assert!(matches!(event, Some(WatchEvent::Up { .. })));
        node.shutdown(Duration::ZERO).await;
    });
}
