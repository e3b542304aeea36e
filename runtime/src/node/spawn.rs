//! Putting a component on a node.

use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    sync::{Arc, atomic::Ordering},
};

use actix::Actor;
use botzilla_wire::Name;
use tokio::sync::oneshot;

use super::{
    Node,
    blueprint::{Blueprint, Plan},
};
use crate::{
    DownReason, OneForAll, Restart, SpawnError, context::Shared, hosted::Hosted, keeper::Keeper,
    mailbox::Mailbox, reference::ComponentRef, routes::RouteInfo, supervisor::Supervisor, watchdog,
};

/// A component that is about to be put on a node: await it.
#[must_use = "nothing is spawned until this is awaited"]
pub struct Spawn<C: 'static> {
    node: Node,
    name: String,
    blueprint: Blueprint<C>,
    keeper: Keeper,
    own_thread: bool,
    reserved: bool,
}

impl<C: 'static> Spawn<C> {
    pub(crate) fn new(node: Node, name: String, blueprint: Blueprint<C>) -> Self {
        Self {
            node,
            name,
            blueprint,
            keeper: Keeper::new(Restart::default()),
            own_thread: false,
            reserved: false,
        }
    }

    /// Joins these groups, besides those of its attribute.
    pub fn groups(mut self, groups: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.blueprint
            .groups
            .extend(groups.into_iter().map(Into::into));
        self
    }

    /// When it is rebuilt, and how often; [`Restart::on_panic`] unless said otherwise.
    ///
    /// [`Restart`] has an example.
    pub fn restart(mut self, restart: Restart) -> Self {
        self.keeper = Keeper::new(restart);
        self
    }

    /// Restarts when one of these does, and they when it does, as they say, in place of a [`Restart`] of its own.
    ///
    /// [`OneForAll`] has an example.
    pub fn restart_with(mut self, others: &OneForAll) -> Self {
        self.keeper = others.keeper();
        self
    }

    /// Runs on a thread of its own: for components that block or compute for long.
    pub fn own_thread(mut self) -> Self {
        self.own_thread = true;
        self
    }

    /// Allows a name that is the runtime's own.
    #[doc(hidden)]
    pub fn reserved(mut self) -> Self {
        self.reserved = true;
        self
    }

    async fn spawn(self) -> Result<ComponentRef, SpawnError> {
        let Self {
            node,
            name,
            blueprint,
            keeper,
            own_thread,
            reserved,
        } = self;
        let name = check_name(&name, reserved)?;
        let groups = group_names(&blueprint.groups)?;
        let (described, description) = oneshot::channel();
        let (hosted_here, hosted) = oneshot::channel::<Option<Arc<Hosted>>>();
        let (started, start) = oneshot::channel();
        if let Some(taken) = node.taken(&name) {
            return Err(taken);
        }
        let build = {
            let node = node.clone();
            let plan = blueprint.plan;
            move || {
                let thread = own_thread.then(OwnThread::current);
                let Plan { routes, life } = plan();
                drop(described.send((routes.infos(), routes.mistake())));
                actix_rt::spawn(async move {
                    // However it goes: with the component its thread ends.
                    let _thread = thread;
                    let Ok(Some(hosted)) = hosted.await else {
                        return;
                    };
                    let shared = Shared::new(node, hosted.clone());
                    Supervisor::new(shared, life, routes, started).start();
                    if own_thread {
                        hosted.ended().await;
                    }
                });
            }
        };
        let down = || SpawnError::ShuttingDown {
            name: name.to_string(),
        };
        let began = if own_thread {
            node.own_arbiter().await.ok_or_else(down)?.run(build)
        } else {
            node.0.arbiter.spawn_fn(build)
        };
        if !began {
            return Err(down());
        }
        let (infos, mistake) = description.await.map_err(|_| SpawnError::StartFailed {
            name: name.to_string(),
            reason: "its list of handlers couldn't be made (a panic in `routes`?)".to_owned(),
        })?;
        if let Some(reason) = mistake {
            return Err(SpawnError::BadRoutes {
                name: name.to_string(),
                reason: format!("a stream handler: {reason}"),
            });
        }
        let hosted = node.host_component(name.clone(), groups, infos, keeper)?;
        drop(hosted_here.send(Some(hosted.clone())));
        // From here on, whatever ends this future ends the component.
        let guard = Unless(Some(hosted.clone()));
        match start.await {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => {
                node.forget(&hosted, DownReason::Failed);
                return Err(SpawnError::StartFailed {
                    name: name.to_string(),
                    reason,
                });
            }
            Err(_) => return Err(down()),
        }
        node.register(&hosted).await?;
        guard.keep();
        hosted.set_up();
        node.look_who_is(&hosted.name, DownReason::Replaced);
        Ok(node.component(&*name))
    }
}

impl<C: 'static> IntoFuture for Spawn<C> {
    type Output = Result<ComponentRef, SpawnError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.spawn())
    }
}

impl<C> fmt::Debug for Spawn<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawn")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A component's own thread. Dropped, it ends.
struct OwnThread(Option<actix_rt::ArbiterHandle>);

impl OwnThread {
    fn current() -> Self {
        watchdog::Pulse::of_this_thread().is_own();
        Self(actix_rt::Arbiter::try_current())
    }

    /// Leaves the thread's end to what runs on it. False: it has ended.
    fn run(mut self, build: impl FnOnce() + Send + 'static) -> bool {
        self.0.take().is_some_and(|thread| thread.spawn_fn(build))
    }
}

impl Drop for OwnThread {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            thread.stop();
        }
    }
}

/// Ends a component whose spawn didn't come to its end.
struct Unless(Option<Arc<Hosted>>);

impl Unless {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Unless {
    fn drop(&mut self) {
        if let Some(hosted) = self.0.take() {
            hosted.order_cut();
        }
    }
}

impl Node {
    /// Puts the name on this node.
    pub(crate) fn host_component(
        &self,
        name: Name,
        groups: Vec<Name>,
        routes: Vec<RouteInfo>,
        keeper: Keeper,
    ) -> Result<Arc<Hosted>, SpawnError> {
        for (at, route) in routes.iter().enumerate() {
            if routes[..at]
                .iter()
                .any(|earlier| earlier.name == route.name)
            {
                return Err(SpawnError::BadRoutes {
                    name: name.to_string(),
                    reason: format!(
                        "two handlers for a message named {:?}; rename one by `#[botzilla::message(name = \"..\")]`",
                        route.name
                    ),
                });
            }
        }
        let inner = &self.0;
        let limits = self.limits();
        let count = inner.count.fetch_add(1, Ordering::Relaxed) + 1;
        let mailbox = Mailbox::new(
            limits.messages_per_target as usize,
            limits.urgent_per_target as usize,
        );
        let mut hosted = Hosted::new(
            name.clone(),
            count,
            groups,
            routes,
            mailbox,
            inner.deadlines.clone(),
            limits.panic_text,
        );
        hosted.keeper = keeper;
        let hosted = Arc::new(hosted);
        // Under the lock that shutdown takes to collect the components.
        let mut components = inner.components.write();
        if inner.is_stopping() {
            return Err(SpawnError::ShuttingDown {
                name: name.to_string(),
            });
        }
        if components.contains_key(&name) {
            return Err(SpawnError::NameTaken {
                name: name.to_string(),
                holder: "another component of this node".to_owned(),
            });
        }
        components.insert(name, hosted.clone());
        drop(components);
        inner.moved();
        Ok(hosted)
    }

    /// Why the name can't be had on this node, before anything is started for it.
    fn taken(&self, name: &Name) -> Option<SpawnError> {
        let taken = self.0.components.read().contains_key(name);
        taken.then(|| SpawnError::NameTaken {
            name: name.to_string(),
            holder: "another component of this node".to_owned(),
        })
    }

    /// A new thread with an arbiter, which ends with the node at the latest.
    async fn own_arbiter(&self) -> Option<OwnThread> {
        let node = self.clone();
        self.on_thread(move || async move {
            let handle = actix_rt::Arbiter::new().handle();
            let mut threads = node.0.threads.lock();
            // Those that have ended with their components take nothing any more.
            threads.retain(|thread| thread.spawn_fn(|| ()));
            threads.push(handle.clone());
            OwnThread(Some(handle))
        })
        .await
    }
}

fn check_name(name: &str, reserved: bool) -> Result<Name, SpawnError> {
    let bad = |reason: String| SpawnError::BadName {
        name: name.to_owned(),
        reason,
    };
    let checked = Name::new(name).map_err(|error| bad(error.to_string()))?;
    let is_reserved = name == "registry" || name.starts_with("node/") || name.starts_with('_');
    if is_reserved && !reserved {
        return Err(bad(
            "`registry`, `node/..` and names that begin with `_` are the runtime's own".to_owned(),
        ));
    }
    Ok(checked)
}

fn group_names(groups: &[String]) -> Result<Vec<Name>, SpawnError> {
    let mut names = Vec::with_capacity(groups.len());
    for group in groups {
        let name = Name::new(group).map_err(|error| SpawnError::BadName {
            name: group.clone(),
            reason: format!("as a group: {error}"),
        })?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}
