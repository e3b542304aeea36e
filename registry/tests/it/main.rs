//! A registry and nodes over real sockets, in one process.

#![expect(clippy::unwrap_used, reason = "a test ends by it")]

mod policy;
mod processes;
mod simulation;

use std::{future::Future, time::Duration};

use botzilla::{
    Ctx, Node, NodeConfig, PublishError, Publisher, Qos, Report, SpawnError,
    directory::messages::{List, ListReply, REGISTRY, Resolve, Watch},
};
use botzilla_registry::{Registry, RunningRegistry, table::Rules};

const SECRET: &str = "a passphrase of at least 16 bytes";
/// None of these tests takes a second; a machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

#[botzilla::message(reply = String)]
struct Greet {
    name: String,
}

#[botzilla::handler]
async fn greet(msg: Greet) -> String {
    format!("hello {}", msg.name)
}

async fn fresh() -> RunningRegistry {
    let registry = Registry::new("127.0.0.1:0", SECRET).unwrap().fresh();
    registry.start().await.unwrap()
}

async fn node(registry: &RunningRegistry) -> Node {
    let config = NodeConfig::new(registry.address().to_string(), SECRET).unwrap();
    let node = Node::start(config.listen("127.0.0.1:0")).await.unwrap();
    node.ready().await;
    node
}

async fn list(node: &Node) -> ListReply {
    node.component(REGISTRY).ask(List::default()).await.unwrap()
}

fn names(list: &ListReply) -> Vec<&str> {
    list.components.iter().map(|it| it.name.as_str()).collect()
}

/// Waits for the registry's next news until the list is as it should be.
async fn until_listed(node: &Node, wanted: &[&str]) {
    loop {
        let list = list(node).await;
        if names(&list) == wanted {
            return;
        }
        let watch = Watch {
            epoch: list.epoch,
            revision: list.revision,
            recovering: list.recovering,
            after: None,
            wait_ms: 1000,
        };
        node.component(REGISTRY).ask(watch).await.unwrap();
    }
}

fn run(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    let timed = async { tokio::time::timeout(PATIENCE, test).await };
    runtime.block_on(timed).expect("it hangs");
}

#[test]
fn components_of_two_nodes_find_each_other() {
    run(async {
        let registry = fresh().await;
        let (one, two) = (node(&registry).await, node(&registry).await);
        one.spawn("greeter", greet)
            .groups(["talkers"])
            .await
            .unwrap();
        let greeter = two.component("greeter");
        let name = "Ada".to_owned();
        assert_eq!(greeter.ask(Greet { name }).await.unwrap(), "hello Ada");
        let list = list(&two).await;
        let [listed] = &list.components[..] else {
            panic!("{list:?}");
        };
        assert_eq!((listed.name.as_str(), listed.connected), ("greeter", true));
        assert_eq!(listed.node, one.id().to_string());
        assert_eq!(listed.groups, ["talkers"]);
        assert_eq!(listed.messages[0].name, "Greet");
        assert!(listed.endpoints[0].starts_with("127.0.0.1:"));
    });
}

#[test]
fn a_name_that_is_taken_is_refused_with_its_holder() {
    run(async {
        let registry = fresh().await;
        let (one, two) = (node(&registry).await, node(&registry).await);
        one.spawn("greeter", greet).await.unwrap();
        let refused = two.spawn("greeter", greet).await;
        let Err(SpawnError::NameTaken { holder, .. }) = refused else {
            panic!("two greeters");
        };
        let pid = format!("(pid {})", std::process::id());
        assert!(holder.contains(&pid), "{holder}");
    });
}

#[test]
fn a_node_that_ends_gives_its_names_up_at_once() {
    run(async {
        let registry = fresh().await;
        let (one, two) = (node(&registry).await, node(&registry).await);
        one.spawn("a", greet).await.unwrap();
        two.spawn("b", greet).await.unwrap();
        until_listed(&two, &["a", "b"]).await;
        one.shutdown(Duration::from_secs(5)).await;
        until_listed(&two, &["b"]).await;
        // And another may have it.
        two.spawn("a", greet).await.unwrap();
    });
}

#[test]
fn a_registry_that_comes_back_empty_is_told_everything_and_gives_no_name_away() {
    run(async {
        let registry = fresh().await;
        let (one, two) = (node(&registry).await, node(&registry).await);
        one.spawn("greeter", greet).await.unwrap();
        let ask = || async {
            let name = "Ada".to_owned();
            two.component("greeter").ask(Greet { name }).await.unwrap()
        };
        ask().await;
        let address = registry.address().to_string();
        registry.shutdown(Duration::from_secs(5)).await;
        ask().await;
        let back = Registry::new(address, SECRET).unwrap();
        let back = back.start().await.unwrap();
        let newcomer = node(&back).await;
        let refused = newcomer.spawn("greeter", greet).await;
        assert!(matches!(refused, Err(SpawnError::NameTaken { .. })));
        until_listed(&newcomer, &["greeter"]).await;
        assert!(list(&newcomer).await.recovering);
        ask().await;
    });
}

/// Publishes from its start on.
#[derive(Default)]
struct Lidar {
    scans: Option<Publisher<u32>>,
}

#[botzilla::component]
impl Lidar {
    #[botzilla::on_start]
    fn start(&mut self, ctx: &Ctx<Self>) -> Result<(), PublishError> {
        self.scans = Some(ctx.publish("scan", Qos::latest().depth(7))?);
        Ok(())
    }

    #[botzilla::handler]
    fn begin(&mut self, _: Begin, ctx: &Ctx<Self>) -> bool {
        let raw = ctx.publish::<u32>("raw", Qos::reliable());
        std::mem::replace(&mut self.scans, raw.ok()).is_some()
    }
}

/// Another stream takes the place of the first.
#[botzilla::message(reply = bool)]
struct Begin {}

fn streams(list: &ListReply) -> Vec<(&str, u32)> {
    let streams = list.components.iter().flat_map(|it| &it.streams);
    streams.map(|it| (it.name.as_str(), it.depth)).collect()
}

#[test]
fn streams_are_listed_as_they_begin_and_end_and_after_a_restart() {
    run(async {
        let registry = fresh().await;
        let (one, two) = (node(&registry).await, node(&registry).await);
        one.spawn("lidar", Lidar::default).await.unwrap();
        assert_eq!(streams(&list(&two).await), [("scan", 7)]);
        assert!(two.component("lidar").ask(Begin {}).await.unwrap());
        while streams(&list(&two).await) != [("raw", 64)] {
            tokio::task::yield_now().await;
        }
        let address = registry.address().to_string();
        registry.shutdown(Duration::from_secs(5)).await;
        let back = Registry::new(address, SECRET).unwrap();
        let back = back.start().await.unwrap();
        let newcomer = node(&back).await;
        until_listed(&newcomer, &["lidar"]).await;
        assert_eq!(streams(&list(&newcomer).await), [("raw", 64)]);
        let service = two.component(format!("node/{}", two.id()));
        assert!(service.ask(Report {}).await.unwrap().streams.is_empty());
        let service = one.component(format!("node/{}", one.id()));
        let report = service.ask(Report {}).await.unwrap();
        assert_eq!(report.streams[0].stream, "lidar/raw");
        assert_eq!(report.streams[0].published, 0);
    });
}

/// A node with a greeter on a thread that the caller can end: as a process that is killed, it says
/// nothing more.
fn mortal(registry: &RunningRegistry) -> tokio::sync::oneshot::Sender<()> {
    let address = registry.address().to_string();
    let (kill, killed) = tokio::sync::oneshot::channel::<()>();
    let (started, starting) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        actix_rt::System::new().block_on(async move {
            let config = NodeConfig::new(address, SECRET).unwrap();
            let node = Node::start(config.listen("127.0.0.1:0")).await.unwrap();
            node.spawn("greeter", greet).await.unwrap();
            started.send(()).unwrap();
            // However the sender ends.
            let _ = killed.await;
        });
    });
    starting.recv().unwrap();
    kill
}

async fn quick() -> RunningRegistry {
    let mut rules = Rules::default();
    rules.recovery = Duration::ZERO;
    rules.takeover = Duration::from_millis(400);
    rules.lease = Duration::from_millis(1500);
    let registry = Registry::new("127.0.0.1:0", SECRET).unwrap();
    registry.rules(rules).start().await.unwrap()
}

#[test]
fn the_name_of_a_node_that_was_killed_goes_to_who_claims_it() {
    run(async {
        let registry = quick().await;
        let kill = mortal(&registry);
        let two = node(&registry).await;
        let refused = two.spawn("greeter", greet).await;
        assert!(matches!(refused, Err(SpawnError::NameTaken { .. })));
        drop(kill);
        while list(&two).await.components[0].connected {
            tokio::task::yield_now().await;
        }
        two.spawn("greeter", greet).await.unwrap();
        let listed = &list(&two).await.components[0];
        assert_eq!(listed.node, two.id().to_string());
    });
}

#[test]
fn the_name_of_a_node_that_was_killed_is_gone_after_the_lease() {
    run(async {
        let registry = quick().await;
        let kill = mortal(&registry);
        let two = node(&registry).await;
        until_listed(&two, &["greeter"]).await;
        drop(kill);
        until_listed(&two, &[]).await;
    });
}

#[test]
fn who_asks_for_a_name_that_is_not_there_is_told_of_those_that_are_close() {
    run(async {
        let registry = fresh().await;
        let one = node(&registry).await;
        one.spawn("greeter", greet).await.unwrap();
        let msg = Resolve {
            name: "greter".into(),
            wait_ms: 0,
        };
        let reply = one.component(REGISTRY).ask(msg).await.unwrap();
        assert_eq!(
            (reply.found, reply.similar),
            (None, vec!["greeter".to_owned()])
        );
    });
}

#[test]
fn a_registry_hosts_components_of_its_own_program_too() {
    run(async {
        let registry = fresh().await;
        registry.node().spawn("greeter", greet).await.unwrap();
        let other = node(&registry).await;
        let name = "Ada".to_owned();
        let greeting = other.component("greeter").ask(Greet { name }).await;
        assert_eq!(greeting.unwrap(), "hello Ada");
    });
}

#[test]
fn fifty_nodes_start_at_once() {
    run(async {
        let registry = fresh().await;
        let registry = &registry;
        let nodes = futures_util::future::join_all((0..50).map(|count| async move {
            let node = node(registry).await;
            node.spawn(format!("c{count:02}"), greet).await.unwrap();
            node
        }));
        let nodes = nodes.await;
        let wanted: Vec<String> = (0..50).map(|count| format!("c{count:02}")).collect();
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
        until_listed(&nodes[0], &wanted).await;
        for (count, node) in nodes.iter().enumerate() {
            let name = "Ada".to_owned();
            let other = format!("c{:02}", (count + 7) % 50);
            node.component(other).ask(Greet { name }).await.unwrap();
        }
    });
}
