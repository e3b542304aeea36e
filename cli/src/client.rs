//! A short-lived node and the time that is left to it.

use std::time::{Duration, Instant};

use botzilla::{
    Description, Node, NodeConfig, Reason,
    directory::messages::{List, Listed, REGISTRY, Resolve, ResolveReply},
};
use botzilla_wire::ident::Name;

use crate::error::CliError;

/// What its goodbyes may take when all is done.
pub(crate) const GOODBYE: Duration = Duration::from_millis(200);
/// Of the time that is left, what is kept for the way of a registry's answer that comes at the last moment..
const FOR_THE_WAY: f64 = 0.25;
/// .. and no more than this.
const AT_MOST_FOR_THE_WAY: Duration = Duration::from_millis(500);

pub(crate) struct Client {
    node: Node,
    timeout: Duration,
    deadline: Instant,
}

impl Client {
    /// Connects to the registry.
    pub(crate) async fn connect(config: NodeConfig, timeout: Duration) -> Result<Self, CliError> {
        Self::connect_within(config, timeout, timeout).await
    }

    /// The same for what goes on after that, for `timeout` in all.
    pub(crate) async fn connect_within(
        config: NodeConfig,
        connecting: Duration,
        timeout: Duration,
    ) -> Result<Self, CliError> {
        let deadline = Instant::now() + timeout;
        let config = config.registry_time(connecting).ask_time(connecting);
        let node = Node::start(config).await?;
        Ok(Self {
            node,
            timeout,
            deadline,
        })
    }

    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// The time that is left.
    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// All components that the registry knows, and whether it may not know all yet.
    pub(crate) async fn list(&self) -> Result<(Vec<Listed>, bool), CliError> {
        self.pages(true).await
    }

    /// As [`Client::list`], without waiting for a registry that doesn't know all yet.
    pub(crate) async fn list_now(&self) -> Result<(Vec<Listed>, bool), CliError> {
        self.pages(false).await
    }

    async fn pages(&self, patient: bool) -> Result<(Vec<Listed>, bool), CliError> {
        let registry = self.node.component(REGISTRY);
        let mut components: Vec<Listed> = Vec::new();
        loop {
            let after = components
                .last()
                .map(|last| last.name.clone())
                .unwrap_or_default();
            let wait_ms = if patient { self.patience_ms() } else { 0 };
            let list = List { after, wait_ms };
            let asked = registry.ask(list).within(self.left()).await;
            let page = asked.map_err(|error| self.no_answer(error.reason()))?;
            let more = page.more && !page.components.is_empty();
            components.extend(page.components);
            if !more {
                return Ok((components, page.recovering));
            }
        }
    }

    /// Who has a name, as the registry knows it.
    pub(crate) async fn resolve(&self, name: &Name) -> Result<ResolveReply, CliError> {
        let resolve = Resolve {
            name: name.to_string(),
            wait_ms: self.patience_ms(),
        };
        let asked = self
            .node
            .component(REGISTRY)
            .ask(resolve)
            .within(self.left())
            .await;
        asked.map_err(|error| self.no_answer(error.reason()))
    }

    /// A component in full, from its own node; `message`: if it is needed to send that.
    pub(crate) async fn describe(
        &self,
        name: &Name,
        message: Option<&str>,
    ) -> Result<Description, CliError> {
        let described = self.node.component(name).describe(self.left()).await;
        described.map_err(|error| self.call_error(name, message, error.into_reason()))
    }

    /// As a person sees it, who gave the time for all of the command.
    pub(crate) fn call_error(&self, name: &str, message: Option<&str>, reason: Reason) -> CliError {
        let reason = match reason {
            Reason::Expired { may_have_run, .. } => Reason::Expired {
                after: self.timeout,
                may_have_run,
            },
            other => other,
        };
        CliError::call(name, message, &reason)
    }

    /// Ends the connections so that the other sides know that it was meant. What waits for them is
    /// written before, for as long as `time`. False: it took longer.
    pub(crate) async fn close(self, time: Duration) -> bool {
        let began = Instant::now();
        self.node.shutdown(time).await;
        began.elapsed() < time
    }

    /// What the registry may wait with its answer.
    fn patience_ms(&self) -> u64 {
        let left = self.left();
        let for_the_way = left.mul_f64(FOR_THE_WAY).min(AT_MOST_FOR_THE_WAY);
        u64::try_from(left.saturating_sub(for_the_way).as_millis()).unwrap_or(u64::MAX)
    }

    fn no_answer(&self, reason: &Reason) -> CliError {
        let address = self.node.registry().unwrap_or_default();
        CliError::not_asked(format!(
            "the registry at {address} doesn't answer: {reason}; check its log, or give it more \
             --timeout"
        ))
    }
}
