//! Bringing a node up on the thread that runs this.

use std::{
    sync::{Arc, OnceLock, Weak, atomic::AtomicU64},
    time::{Duration, Instant},
};

use actix_rt::ArbiterHandle;
use botzilla_wire::{NodeId, handshake::Local};
use parking_lot::{Mutex, RwLock};
use tokio_util::sync::CancellationToken;

use super::{Inner, Node, Phase, listener};
use crate::{
    Error, NodeConfig, Result, StartError,
    config::{RegistryAt, Security},
    deadline::Deadlines,
    directory::Directory,
    link::{Host, Links, Settings},
    policy::Guard,
    program,
    reload::Reload,
    service,
    stream::Hub,
    watch::Watchers,
    watchdog::Pulse,
};

/// How long a node that starts waits to know all others.
const FIRST_LOOK: Duration = Duration::from_secs(2);

pub(super) async fn start_here(config: NodeConfig, arbiter: ArbiterHandle) -> Result<Node> {
    program::log_if_nobody_does();
    config.check()?;
    let id = random_node_id()?;
    let silent = config.short_lived || config.registry == RegistryAt::Nowhere;
    let listener = if silent {
        None
    } else {
        Some(listener::bind(&config.listen).await?)
    };
    let address = OnceLock::new();
    if let Some(listener) = &listener {
        let _ = address.set(listener.local_addr()?);
    }
    let mut local = Local::new(id, config.secrets.clone());
    local.limits = config.limits.clone();
    local.modes = Security::modes(config.security);
    let directory = Arc::new(Directory::new());
    let policy = config.policy.as_ref();
    let guard = policy.map(|file| Guard::new(id, file, Arc::clone(&directory)));
    let settings = Settings {
        guard: guard.clone(),
        ..Settings::default()
    };
    let now = Instant::now();
    let node = Node(Arc::new_cyclic(|this: &Weak<Inner>| {
        let host: Weak<dyn Host> = this.clone();
        Inner {
            id,
            address,
            started: now,
            components: RwLock::default(),
            count: AtomicU64::new(0),
            hub: Hub::new(&local, settings.clone()),
            links: Links::new(local, host, settings),
            directory,
            guard,
            deadlines: Deadlines::new(now),
            conduits: Mutex::default(),
            generation: AtomicU64::new(0),
            arbiter,
            thread: std::thread::current().id(),
            pulse: Pulse::of_this_thread(),
            phase: Mutex::new(Phase::Running),
            past: Mutex::default(),
            reload: Reload::default(),
            watchers: Watchers::default(),
            escalation: Mutex::default(),
            escalated: CancellationToken::new(),
            stopping: CancellationToken::new(),
            stopped: CancellationToken::new(),
            threads: Mutex::default(),
            this: this.clone(),
            config,
        }
    }));
    node.0.deadlines.keep().map_err(StartError::Thread)?;
    node.begin_reload()?;
    if let Some(listener) = listener {
        node.0.links.listen(listener)?;
    }
    match node.bring_up().await {
        Ok(()) => Ok(node),
        Err(error) => {
            node.shutdown(Duration::ZERO).await;
            Err(error)
        }
    }
}

impl Node {
    async fn bring_up(&self) -> Result<()> {
        let inner = &self.0;
        if !inner.config.short_lived {
            service::spawn(self).await?;
        }
        if let RegistryAt::Address(address) = &inner.config.registry {
            let began = Instant::now();
            let deadline = began + inner.config.registry_time;
            let first = self.first_contact(deadline).await;
            first.map_err(|reason| {
                let (address, waited) = (address.clone(), began.elapsed());
                Error::Start(StartError::Registry {
                    address,
                    waited,
                    reason,
                })
            })?;
        }
        if !inner.config.short_lived && inner.config.registry != RegistryAt::Nowhere {
            // A node that goes down says so itself; what it would ask besides would hold it up.
            let stopping = inner.stopping.clone();
            let node = self.clone();
            actix_rt::spawn(stopping.clone().run_until_cancelled_owned(async move {
                node.0.directory.run(&node).await;
            }));
            let node = self.clone();
            actix_rt::spawn(stopping.run_until_cancelled_owned(async move {
                node.follow_addresses().await;
            }));
        }
        if !inner.config.short_lived && matches!(inner.config.registry, RegistryAt::Address(_)) {
            // So that a broadcast right after the start reaches all who were there before. A
            // registry that goes away in this very moment keeps no node from starting.
            let _ = inner
                .deadlines
                .within(Instant::now() + FIRST_LOOK, self.ready())
                .await;
        }
        Ok(())
    }
}

fn random_node_id() -> Result<NodeId> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::Start(StartError::Thread(std::io::Error::other(error.to_string())))
    })?;
    Ok(NodeId(bytes))
}
