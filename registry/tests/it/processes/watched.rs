//! Components in other processes, watched: what is told of them when these are killed, moved, cut off, and when
//! the registry is.

use std::time::{Duration, Instant};

use botzilla::{
    DownReason::{self, Deregistered, Failed, Lapsed, NotFound, Replaced},
    Incarnation, Node, NodeConfig, Watch, WatchEvent,
};
use futures_util::FutureExt;
use tokio::time::timeout;

use super::{
    proxy::{Network, Proxy},
    support::{PATIENCE, RegistryProcess, SECRET, SLACK, run, seconds, until_listed, who},
    talk::Echo,
};

async fn next(watch: &mut Watch, limit: Duration) -> WatchEvent {
    let next = timeout(limit + SLACK, watch.next()).await;
    next.unwrap_or_else(|_| panic!("{} is silent", watch.name()))
        .unwrap()
}

async fn up(watch: &mut Watch) -> Incarnation {
    match next(watch, PATIENCE).await {
        WatchEvent::Up { incarnation } => incarnation,
        other => panic!("{other:?}"),
    }
}

/// The first that is up, if this node has heard of it yet or not.
async fn first_up(watch: &mut Watch) -> Incarnation {
    match next(watch, PATIENCE).await {
        WatchEvent::Up { incarnation } => incarnation,
        WatchEvent::Down { why: NotFound, .. } => up(watch).await,
        other => panic!("{other:?}"),
    }
}

async fn down(watch: &mut Watch, limit: Duration) -> (DownReason, Option<Incarnation>) {
    match next(watch, limit).await {
        WatchEvent::Down { why, incarnation } => (why, incarnation),
        other => panic!("{other:?}"),
    }
}

fn is_silent(watch: &mut Watch) -> bool {
    watch.next().now_or_never().is_none()
}

/// A node in this process, behind a network that can break.
async fn here_at(proxy: &Proxy) -> Node {
    let config = NodeConfig::new(proxy.address.to_string(), SECRET).unwrap();
    let node = Node::start(config.listen("127.0.0.1:0")).await.unwrap();
    node.ready().await;
    node
}

struct Quiet;

#[botzilla::component]
impl Quiet {}

#[test]
fn a_process_that_is_killed_has_lapsed_and_one_that_ends_has_not() {
    run(async {
        let registry = RegistryProcess::fresh().await;
        let node = registry.here().await;
        let mut watch = node.watch("drive").unwrap();
        assert_eq!(down(&mut watch, PATIENCE).await, (NotFound, None));
        let mut first = registry.node("drive").await;
        let before = up(&mut watch).await;
        assert_eq!(before.node().to_string(), first.id);
        first.process.kill();
        let killed = Instant::now();
        // The lease and a second.
        assert_eq!(down(&mut watch, seconds(11)).await, (Lapsed, Some(before)));
        assert!(killed.elapsed() < seconds(11) + SLACK);

        let mut second = registry.node("drive").await;
        let after = up(&mut watch).await;
        assert_ne!(before, after);
        assert_eq!(after.node().to_string(), second.id);
        second.process.terminate();
        assert_eq!(
            down(&mut watch, seconds(5)).await,
            (Deregistered, Some(after))
        );
        second.process.ended(PATIENCE).await;
        node.shutdown(Duration::ZERO).await;
    });
}

#[test]
fn a_process_that_is_started_again_before_its_lease_is_over_is_another_incarnation() {
    run(async {
        let registry = RegistryProcess::fresh().await;
        let node = registry.here().await;
        let mut first = registry.node("drive").await;
        let mut watch = node.watch("drive").unwrap();
        let before = first_up(&mut watch).await;
        first.process.kill();
        let _second = registry.node("drive").await;
        // Nobody ever saw the name without a holder.
        assert_eq!(down(&mut watch, seconds(5)).await, (Replaced, Some(before)));
        assert_ne!(up(&mut watch).await, before);
        node.shutdown(Duration::ZERO).await;
    });
}

#[test]
fn nothing_is_told_of_a_registry_that_restarts_and_what_ended_meanwhile_is_told_when_it_is_back() {
    run(async {
        let mut registry = RegistryProcess::fresh().await;
        let node = registry.here().await;
        let (stays, mut goes) = (registry.node("stays").await, registry.node("goes").await);
        let mut watches = ["stays", "goes"].map(|name| node.watch(name).unwrap());
        let [stays_watch, goes_watch] = &mut watches;
        let (stays_is, goes_was) = (first_up(stays_watch).await, first_up(goes_watch).await);
        registry.process.kill();
        goes.process.kill();
        registry.restart().await;
        // Its recovery of 10 s, and the time to be found again.
        assert_eq!(
            down(goes_watch, seconds(15)).await,
            (Lapsed, Some(goes_was))
        );
        until_listed(&node, seconds(15), &["stays"]).await;
        assert!(is_silent(stays_watch), "it was there all the time");
        // And it is still watched.
        let mut stays = stays;
        assert_eq!(who(&node, "stays").await.pid, stays.process.pid());
        stays.process.terminate();
        assert_eq!(
            down(stays_watch, seconds(5)).await,
            (Deregistered, Some(stays_is))
        );
        stays.process.ended(PATIENCE).await;
        node.shutdown(Duration::ZERO).await;
    });
}

#[test]
fn a_name_that_another_process_got_is_told_to_all_and_to_the_node_that_lost_it() {
    run(async {
        let registry = RegistryProcess::fresh().await;
        let proxy = Proxy::to(registry.address).await;
        let (cut, node) = (here_at(&proxy).await, registry.here().await);
        cut.spawn("drive", || Quiet).await.unwrap();
        let mut from_cut = cut.watch("drive").unwrap();
        let mine = up(&mut from_cut).await;
        assert_eq!(mine.node(), cut.id());
        let mut watch = node.watch("drive").unwrap();
        assert_eq!(first_up(&mut watch).await, mine);

        proxy.set(Network::Severed);
        assert_eq!(down(&mut watch, seconds(11)).await, (Lapsed, Some(mine)));
        let heir = registry.node("drive").await;
        let theirs = up(&mut watch).await;
        assert_eq!(theirs.node().to_string(), heir.id);
        assert!(is_silent(&mut from_cut), "as far as it knows");

        proxy.set(Network::Up);
        assert_eq!(
            down(&mut from_cut, seconds(10)).await,
            (Replaced, Some(mine))
        );
        assert_eq!(up(&mut from_cut).await, theirs);
        assert!(is_silent(&mut watch));
        cut.shutdown(Duration::ZERO).await;
        node.shutdown(Duration::ZERO).await;
    });
}

#[test]
fn what_the_registry_lost_sight_of_is_up_for_as_long_as_it_is_reached() {
    run(async {
        let registry = RegistryProcess::fresh().await;
        let proxy = Proxy::to(registry.address).await;
        let mut cut = super::support::node_at(proxy.address, "drive", &[]).await;
        let (peer, stranger) = (registry.here().await, registry.here().await);
        let mut watches = [&peer, &stranger].map(|node| node.watch("drive").unwrap());
        let [of_peer, of_stranger] = &mut watches;
        let is = first_up(of_peer).await;
        assert_eq!(first_up(of_stranger).await, is);
        // A connection between the two.
        peer.component("drive").ask(Echo { n: 1 }).await.unwrap();
        proxy.set(Network::Severed);
        assert_eq!(down(of_stranger, seconds(11)).await, (Lapsed, Some(is)));
        // They still talk.
        peer.component("drive").ask(Echo { n: 2 }).await.unwrap();
        assert!(is_silent(of_peer));
        cut.process.kill();
        assert_eq!(down(of_peer, seconds(5)).await, (Lapsed, Some(is)));
        for node in [peer, stranger] {
            node.shutdown(Duration::ZERO).await;
        }
    });
}

#[test]
fn one_that_is_given_up_in_another_process_has_failed_and_its_node_may_go_with_it() {
    run(async {
        let registry = RegistryProcess::fresh().await;
        let node = registry.here().await;
        let mut watches = ["weak", "vital"].map(|name| node.watch(name).unwrap());
        for watch in &mut watches {
            assert_eq!(down(watch, PATIENCE).await.0, NotFound);
        }
        let mut other = registry.node("weak:never vital:escalate").await;
        for (watch, name) in watches.iter_mut().zip(["weak", "vital"]) {
            let was = up(watch).await;
            node.component(name)
                .ask(super::talk::Break {})
                .await
                .unwrap_err();
            assert_eq!(down(watch, seconds(5)).await, (Failed, Some(was)));
        }
        let failed = other.process.says("failed").await;
        assert!(
            failed.contains("vital") && failed.contains("broken"),
            "{failed}"
        );
        assert_eq!(other.process.ended(PATIENCE).await.code(), Some(2));
        node.shutdown(Duration::ZERO).await;
    });
}
