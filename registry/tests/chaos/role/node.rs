//! A node with components, which does as it is told.

use std::{
    fmt::Display,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use botzilla::{
    Node,
    directory::messages::{List, REGISTRY},
};

use super::{
    config, orders,
    robot::{Begin, Plan, Robot, Who},
    say, traffic, variable,
};

/// What an order may take.
const TIME: Duration = Duration::from_secs(1);

pub(super) async fn run() -> botzilla::Result<()> {
    let mut orders = orders();
    let node = Node::start(config()?).await?;
    let names = variable("CHAOS_NAMES");
    for name in names.split(' ').filter(|name| !name.is_empty()) {
        node.spawn(name, Robot::default).await?;
    }
    node.ready().await;
    let port = node.address().map_or(0, |address| address.port());
    say(&format!("ready {port}"));
    let began = Instant::now();
    while let Some(order) = orders.recv().await {
        let (verb, rest) = order.split_once(' ').unwrap_or((&order, ""));
        let said = match verb {
            "begin" => begin(&node, &names, rest).await,
            "stop" => {
                traffic::stop().await;
                Ok(String::new())
            }
            "who" => who(&node, rest).await,
            "list" => list(&node).await,
            "clock" => clock(began),
            "heard" => Ok(serde_json::to_string(&traffic::heard()).expect("they are plain")),
            other => Err(format!("no such order: {other}")),
        };
        match said {
            Ok(said) => say(&format!("{verb} {said}")),
            Err(error) => say(&format!("{verb} !{error}")),
        }
    }
    Ok(())
}

fn text(error: impl Display) -> String {
    error.to_string()
}

async fn begin(node: &Node, names: &str, plan: &str) -> Result<String, String> {
    let plan: Plan = serde_json::from_str(plan).map_err(text)?;
    traffic::start();
    for name in names.split(' ') {
        let plan = plan.clone();
        let begun = node.component(name).ask(Begin { plan }).await;
        begun.map_err(text)?;
    }
    Ok(String::new())
}

async fn who(node: &Node, name: &str) -> Result<String, String> {
    let asked = node.component(name).ask(Who {}).within(TIME).await;
    asked.map(|pid| pid.to_string()).map_err(text)
}

async fn list(node: &Node) -> Result<String, String> {
    let asked = node.component(REGISTRY).ask(List::default()).within(TIME);
    let list = asked.await.map_err(text)?;
    let names = list.components.iter().map(|it| &*it.name);
    Ok(names.collect::<Vec<_>>().join(" "))
}

/// The time by both clocks, in seconds: since 1970, and since the node's start.
fn clock(began: Instant) -> Result<String, String> {
    let wall = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    };
    Ok(format!("{wall} {}", began.elapsed().as_secs_f64()))
}
