//! How the directory's client sees this node, and how the node uses the directory.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use botzilla_wire::{Name, NodeId};
use rustc_hash::FxHashMap;

use super::{Inner, Node, is_public};
use crate::{
    CallError, DownReason, Message, SpawnError,
    config::RegistryAt,
    directory::{
        Home, Refused, SaysTooMuch,
        facts::{ComponentFacts, MessageFacts, NodeFacts, StreamFacts},
        jittered,
        messages::REGISTRY,
        replica::Applied,
    },
    hosted::Hosted,
    link::{ConnectError, advertised},
};

/// Between two attempts to reach a registry that isn't there yet, at most at first and at last.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(1));
const SILENCE: &str = "no answer in time; check the address, the network and the firewall";

impl Home for Node {
    type Error = CallError;

    fn id(&self) -> NodeId {
        Self::id(self)
    }

    fn facts(&self) -> NodeFacts {
        let endpoints = self.inner().endpoints();
        let port = self.inner().port_to_add();
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
            .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned());
        let program = std::env::current_exe()
            .ok()
            .and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .unwrap_or_else(|| "unknown".to_owned());
        NodeFacts {
            id: self.id().to_string(),
            host,
            program,
            pid: std::process::id(),
            endpoints,
            port,
        }
    }

    async fn ask<M: Message>(&self, msg: M, within: Duration) -> Result<M::Reply, CallError> {
        self.component(REGISTRY).ask(msg).within(within).await
    }

    fn connected(&self, node: &NodeId) -> bool {
        self.inner().links.is_connected(*node)
    }

    fn name_lost(&self, name: &Name, _: &Refused) {
        // It is somebody else's now: what runs here under that name would be found by nobody.
        // Forgotten at once, so that callers here find the new holder while this one drains.
        if let Some(hosted) = self.inner().hosted_named(name) {
            self.forget(&hosted, DownReason::Replaced);
            hosted.order_stop();
        }
    }

    fn encryption_required(&self) {
        self.inner().require_encryption();
    }

    fn changed(&self, what: &Applied) {
        self.inner().enforce_names(&what.changed);
        self.inner().moved();
        let gone: FxHashMap<_, _> = what.gone.iter().map(|(name, why)| (name, *why)).collect();
        for name in &what.changed {
            let why = gone
                .get(name)
                .map_or(DownReason::Replaced, |why| (*why).into());
            self.look_who_is(name, why);
        }
    }
}

impl Inner {
    /// Where others may find this node.
    pub(super) fn endpoints(&self) -> Vec<String> {
        match (self.config.advertise.is_empty(), self.address.get()) {
            (false, _) => self.config.advertise.clone(),
            (true, Some(address)) => advertised(*address)
                .iter()
                .map(ToString::to_string)
                .collect(),
            (true, None) => Vec::new(),
        }
    }
}

impl Inner {
    /// The port that the registry may add to the address at which it sees this node; 0 for none.
    pub(super) fn port_to_add(&self) -> u16 {
        match self.address.get() {
            Some(address) if self.config.advertise.is_empty() => address.port(),
            _ => 0,
        }
    }
}

impl Node {
    /// Tries the registry until it answers or the time is over; the error says what was tried last.
    pub(super) async fn first_contact(&self, deadline: Instant) -> Result<(), String> {
        let inner = self.inner();
        let RegistryAt::Address(address) = &inner.config.registry else {
            return Ok(());
        };
        // The last attempt may have ended before it got anywhere: then what came of an earlier one.
        let (mut last, mut tried) = (String::new(), None);
        let mut pause = PAUSE.0;
        loop {
            match inner.links.connect_address(address, deadline).await {
                Ok(link) => {
                    // Who is found there may not be it: then no patience makes it so.
                    let link = inner
                        .as_component(link, REGISTRY)
                        .map_err(|denied| denied.to_string())?;
                    inner.reached_registry(&link);
                    return Ok(());
                }
                Err(error) => {
                    // Whoever reads it is told the address anyway.
                    let reason = match error.tried() {
                        [one] => one.error.to_string(),
                        [] if matches!(error, ConnectError::TimedOut { .. }) => SILENCE.to_owned(),
                        _ => error.to_string(),
                    };
                    if error
                        .tried()
                        .iter()
                        .any(|attempt| !attempt.error.is_pending())
                    {
                        tried = Some(reason.clone());
                    }
                    // Waiting doesn't make a wrong secret right.
                    if error.needs_a_person() || Instant::now() + pause >= deadline {
                        return Err(tried.unwrap_or(reason));
                    }
                    if reason != last {
                        tracing::warn!(%address, %reason, "waiting for the registry");
                        last = reason;
                    }
                }
            }
            // Robots that are switched on together don't stay in step.
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Gets a component its name from the registry.
    pub(super) async fn register(&self, hosted: &Arc<Hosted>) -> Result<(), SpawnError> {
        let config = &self.inner().config;
        if !is_registered(&hosted.name)
            || config.short_lived
            || config.registry == RegistryAt::Nowhere
        {
            return Ok(());
        }
        let decision = self.inner().directory.announce(&hosted.name, facts(hosted));
        let name = hosted.name.to_string();
        let deadline = Instant::now() + config.registry_time;
        match self.deadlines().within(deadline, decision).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(Refused::Held { by, .. } | Refused::NameLost { to: by, .. }))) => {
                Err(SpawnError::NameTaken {
                    name,
                    holder: by.to_string(),
                })
            }
            Ok(Ok(Err(Refused::Denied { reason, .. }))) => Err(SpawnError::Denied { name, reason }),
            Ok(Ok(Err(refused))) => Err(SpawnError::NotRegistered {
                name,
                reason: refused.to_string(),
            }),
            Ok(Err(_)) => Err(SpawnError::ShuttingDown { name }),
            Err(_) => Err(SpawnError::NotRegistered {
                name,
                reason: self.undecided(),
            }),
        }
    }

    /// Says which streams a component of this node offers from now on: as soon as the registry can be
    /// told, others know.
    pub(crate) fn set_streams(
        &self,
        hosted: &Hosted,
        streams: Vec<StreamFacts>,
    ) -> Result<(), SaysTooMuch> {
        // Its name is another's, and so is what that name streams.
        if hosted.is_forgotten() {
            return Ok(());
        }
        let directory = &self.inner().directory;
        directory.set_streams(&hosted.name, hosted.count, streams)
    }

    /// Why the registry gave no answer in its time, as far as this node can tell.
    fn undecided(&self) -> String {
        let config = &self.inner().config;
        let waited = config.registry_time;
        let at = self
            .registry()
            .map_or_else(String::new, |address| format!(" at {address}"));
        if self.inner().directory.status().borrow().in_touch {
            format!(
                "the registry{at} hasn't decided within {waited:?} (it may have just started); try \
                 again, or raise `registry_time`"
            )
        } else {
            format!(
                "the registry{at} wasn't reached within {waited:?}; start it (`botzilla registry`), \
                 or raise `registry_time`"
            )
        }
    }
}

/// Whether a component's name is the registry's to give: the runtime's own aren't.
pub(crate) fn is_registered(name: &str) -> bool {
    is_public(name) && name != REGISTRY
}

fn facts(hosted: &Hosted) -> ComponentFacts {
    let messages = hosted.routes.iter().map(|route| MessageFacts {
        name: route.name.to_owned(),
        fingerprint: route
            .layout
            .as_ref()
            .map(|layout| layout.fingerprint().to_string()),
        urgent: route.options.urgent,
        broadcast: route.options.broadcast,
        concurrent: route.concurrent,
        fallible: route.fallible,
    });
    ComponentFacts {
        name: hosted.name.to_string(),
        count: hosted.count,
        groups: hosted.groups.iter().map(ToString::to_string).collect(),
        messages: messages.collect(),
        // What it offers by now, the directory knows.
        streams: Vec::new(),
    }
}
