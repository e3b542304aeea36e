//! The same work on botzilla: a component in another process, found through a registry.

use std::time::Instant;

use botzilla::{CallError, Security, prelude::*};
use botzilla_registry::{Registry, RunningRegistry};

/// All benchmarks' secret.
pub const SECRET: &str = "bz1:bench:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// 64 bytes of a robot's data: a pose and its speeds.
#[botzilla::data]
#[derive(Clone, Copy, Debug, Default)]
pub struct State {
    /// Eight figures.
    pub figures: (f64, f64, f64, f64, f64, f64, f64, f64),
}

/// Asks for the same back.
#[botzilla::message(reply = State)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo {
    /// 64 bytes.
    pub state: State,
}

/// Tells the counter of one more.
#[botzilla::message]
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    /// 64 bytes.
    pub state: State,
}

/// Asks how many were counted, and begins anew.
#[botzilla::message(reply = u64)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {}

/// The component on the other side.
#[derive(Debug, Default)]
pub struct Mirror {
    told: u64,
}

#[botzilla::component]
impl Mirror {
    #[botzilla::handler]
    fn echo(&mut self, msg: Echo) -> State {
        msg.state
    }

    #[botzilla::handler]
    fn count(&mut self, _: Count) {
        self.told += 1;
    }

    #[botzilla::handler]
    fn counted(&mut self, _: Counted) -> u64 {
        std::mem::take(&mut self.told)
    }
}

/// Serves a registry and the component on one node, for ever.
///
/// # Errors
///
/// The node can't start.
pub async fn serve() -> botzilla::Result<()> {
    let registry = registry(Security::Authenticated).await?;
    registry.node().spawn("mirror", Mirror::default).await?;
    println!("{}", registry.address());
    std::future::pending().await
}

/// A registry on a node of its own, whose network is protected so.
///
/// # Errors
///
/// The node can't start.
pub async fn registry(security: Security) -> botzilla::Result<RunningRegistry> {
    let node = NodeConfig::hosting_registry(SECRET)?;
    let node = node.listen("127.0.0.1:0").security(security);
    Registry::with(node).fresh().start().await
}

/// A node of this process, and the component in the other. How they are protected is as the registry
/// requires.
///
/// # Errors
///
/// The registry isn't there.
pub async fn connect(registry: &str) -> botzilla::Result<(Node, ComponentRef)> {
    let config = NodeConfig::new(registry, SECRET)?.listen("127.0.0.1:0");
    let node = Node::start(config).await?;
    let mirror = node.component("mirror");
    mirror.ask(Echo::default()).await?;
    Ok((node, mirror))
}

/// One ask at a time, each one's nanoseconds.
///
/// # Errors
///
/// An ask failed.
pub async fn asks(mirror: &ComponentRef, count: u64) -> Result<Vec<u64>, CallError> {
    let mut times = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let start = Instant::now();
        mirror.ask(Echo::default()).await?;
        times.push(start.elapsed().as_nanos() as u64);
    }
    Ok(times)
}

/// Asks with so many under way, each from a task of its own.
///
/// # Errors
///
/// An ask failed.
pub async fn pipelined(
    mirror: &ComponentRef,
    count: u64,
    in_flight: usize,
) -> Result<(), CallError> {
    let share = count / in_flight as u64;
    let askers: Vec<_> = (0..in_flight)
        .map(|_| {
            let mirror = mirror.clone();
            actix_rt::spawn(async move {
                for _ in 0..share {
                    mirror.ask(Echo::default()).await?;
                }
                Ok::<_, CallError>(())
            })
        })
        .collect();
    for asker in askers {
        asker
            .await
            .expect("an asker neither panics nor is aborted")?;
    }
    Ok(())
}

/// Tells, until the other side's handler has run for the last; checks that none was lost.
///
/// # Errors
///
/// A tell couldn't be sent.
pub async fn tells(mirror: &ComponentRef, count: u64) -> Result<(), CallError> {
    for _ in 0..count {
        drop(mirror.tell(Count::default()).await?);
    }
    let flushed = mirror.flush().await;
    assert_eq!(flushed.failed, 0, "tells were lost: {flushed:?}");
    assert_eq!(mirror.ask(Counted {}).await?, count);
    Ok(())
}
