//! The simulated robot: in one process, or one process each.
//!
//! `cargo run -p botzilla-examples --example robot -- all` is one process, and `-- processes` one
//! for each component; both drive to the goal and end. By hand, in terminals of their own, with
//! BOTZILLA_REGISTRY and BOTZILLA_SECRET set in each: `-- drive`, `-- lidar`, `-- camera`,
//! `-- planner`, `-- battery`, `-- watcher`, and at last `-- operator`, which sends the robot off.

use std::{env, process::Stdio, time::Duration};

use botzilla::prelude::*;
use botzilla_examples::robot::{self, COMPONENTS, Options, messages::*};
use botzilla_examples::setup::{self, Embedded};
use tokio::process::Command;

#[botzilla::main]
async fn main() -> botzilla::Result<()> {
    let part = env::args().nth(1).unwrap_or_else(|| "all".to_owned());
    let options = Options::default();
    match part.as_str() {
        "all" => {
            let node = setup::node().await?;
            for name in COMPONENTS {
                robot::spawn(&node, name, &options).await?;
            }
            mission(&node, &options).await
        }
        "processes" => processes().await,
        "operator" => {
            let node = Node::from_env().await?;
            robot::spawn(&node, "operator", &options).await?;
            mission(&node, &options).await
        }
        name if COMPONENTS.contains(&name) => {
            let node = Node::from_env().await?;
            robot::spawn(&node, name, &options).await?;
            node.until_shutdown().await
        }
        other => {
            let parts = COMPONENTS.join(", ");
            Err(format!("there is no part {other:?}; say all, processes, or one of {parts}").into())
        }
    }
}

/// Sends the robot to its goal and shows how it gets there.
async fn mission(node: &Node, options: &Options) -> botzilla::Result<()> {
    for name in COMPONENTS {
        node.component(name).ready(Duration::from_secs(10)).await?;
    }
    let operator = node.component("operator");
    let goal = options.room.goal.into();
    let mission = operator
        .ask(Mission { goal })
        .within(Duration::from_secs(60));
    let watch = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if let Some(Progress {
                odometry, ahead_m, ..
            }) = operator.ask(GetProgress {}).await?
            {
                println!("{:5.1} m driven, {ahead_m:4.1} m ahead", odometry.driven_m);
            }
        }
    };
    // Both at once: the robot drives, and somebody watches.
    let arrived = tokio::select! {
        arrived = mission.into_future() => arrived?.map_err(|failed| failed.to_string())?,
        failed = watch => return failed,
    };
    let charge = node.component("battery").ask(GetCharge {}).await?;
    println!(
        "{:5.1} m driven: there, with {:.1} % left",
        arrived.odometry.driven_m, charge.percent
    );
    node.shutdown(Duration::from_secs(1)).await;
    Ok(())
}

/// Starts this program once for each component, and a registry for them all.
async fn processes() -> botzilla::Result<()> {
    let registry = Embedded::start().await?;
    let mut children = Vec::new();
    for name in COMPONENTS {
        let mut child = Command::new(env::current_exe()?);
        child.arg(name).stdin(Stdio::null()).kill_on_drop(true);
        child
            .env("BOTZILLA_REGISTRY", registry.address())
            .env("BOTZILLA_SECRET", registry.secret());
        children.push(child.spawn()?);
    }
    // The operator's process is the one that ends by itself, when the robot is there.
    let ended = match children.pop() {
        Some(mut operator) => operator.wait().await?,
        None => return Ok(()),
    };
    if ended.success() {
        Ok(())
    } else {
        Err(format!("the operator ended with {ended}").into())
    }
}
