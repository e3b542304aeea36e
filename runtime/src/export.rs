//! Putting an actix actor that somebody already has on the network, with its code unchanged.

use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    time::Duration,
};

use actix::{Actor, Addr, Handler, dev::ToEnvelope};

use crate::{
    Answer, Later, Message, Node, SpawnError,
    node::{Blueprint, Spawn, of_routes},
    reference::ComponentRef,
    routes::{RouteOptions, Routes},
};

/// An actix actor that is about to be exported: name its messages, then await it.
///
/// Its messages are ordinary actix messages that also are botzilla's, with the same reply. There is
/// no rebuild after a panic: actix ends an actor that panics; it is then deregistered, and its
/// callers get `Stopped`.
#[must_use = "nothing is exported until this is awaited"]
pub struct Export<A: Actor> {
    node: Node,
    name: String,
    addr: Addr<A>,
    routes: Vec<AddRoute>,
    groups: Vec<String>,
}

type AddRoute = Box<dyn FnOnce(&mut Routes<()>) + Send>;

impl Node {
    /// Puts an actix actor on the network under a name.
    ///
    /// ```
    /// use actix::prelude::*;
    /// use botzilla::Node;
    ///
    /// #[botzilla::message(reply = u32)]
    /// #[derive(actix::Message)]
    /// #[rtype(result = "u32")]
    /// struct Scan { beams: u32 }
    ///
    /// struct Lidar;
    /// impl Actor for Lidar { type Context = Context<Self>; }
    /// impl Handler<Scan> for Lidar {
    ///     type Result = u32;
    ///     fn handle(&mut self, scan: Scan, _: &mut Context<Self>) -> u32 { scan.beams }
    /// }
    ///
    /// # async fn run(node: Node) -> botzilla::Result<()> {
    /// let lidar = node.export("lidar", Lidar.start()).message::<Scan>().await?;
    /// assert_eq!(lidar.ask(Scan { beams: 360 }).await?, 360);
    /// # Ok(()) }
    /// ```
    pub fn export<A: Actor>(&self, name: impl Into<String>, addr: Addr<A>) -> Export<A> {
        Export {
            node: self.clone(),
            name: name.into(),
            addr,
            routes: Vec::new(),
            groups: Vec::new(),
        }
    }
}

impl<A: Actor> Export<A> {
    /// Lets others send it this message.
    pub fn message<M>(self) -> Self
    where
        M: Message + actix::Message<Result = <M as Message>::Reply>,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        self.route::<M>(RouteOptions::new())
    }

    /// Lets others send it this message by broadcast too.
    pub fn broadcast<M>(self) -> Self
    where
        M: Message + actix::Message<Result = <M as Message>::Reply>,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        self.route::<M>(RouteOptions::new().broadcast(true))
    }

    /// Joins these groups.
    pub fn groups(mut self, groups: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.groups.extend(groups.into_iter().map(Into::into));
        self
    }

    fn route<M>(mut self, options: RouteOptions) -> Self
    where
        M: Message + actix::Message<Result = <M as Message>::Reply>,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        let addr = self.addr.clone();
        self.routes.push(Box::new(move |routes| {
            routes.add_function::<M, _, _>(options, move |message, ctx| {
                // It enqueues here, not when awaited: actix keeps the order of these calls.
                let request = addr.send(message);
                async move {
                    match request.await {
                        Ok(reply) => Answer::Now(reply),
                        Err(error) => {
                            tracing::warn!(component = ctx.name(), %error, "an exported actor didn't answer");
                            Answer::Later(Later::stopped())
                        }
                    }
                }
            });
        }));
        self
    }

    async fn start(self) -> Result<ComponentRef, SpawnError> {
        let Self {
            node,
            name,
            addr,
            routes,
            groups,
        } = self;
        let blueprint: Blueprint<()> = of_routes(move |list| {
            routes.into_iter().for_each(|add| add(list));
        });
        let reference = Spawn::new(node.clone(), name.clone(), blueprint)
            .groups(groups)
            .await?;
        if let Some(hosted) = node.inner().hosted_named(&name) {
            // An actor that has ended is deregistered; actix tells by the address alone.
            node.watch_actor(move || addr.connected(), hosted);
        }
        Ok(reference)
    }
}

impl Node {
    fn watch_actor(
        &self,
        alive: impl Fn() -> bool + Send + 'static,
        hosted: std::sync::Arc<crate::hosted::Hosted>,
    ) {
        let deadlines = self.deadlines().clone();
        self.spawn_until_stopped(async move {
            let ended = hosted.ended();
            let mut ended = std::pin::pin!(ended);
            loop {
                let next = std::time::Instant::now() + LOOK_EVERY;
                if deadlines.within(next, ended.as_mut()).await.is_ok() {
                    return;
                }
                if !alive() {
                    hosted.order_stop();
                    return;
                }
            }
        });
    }
}

const LOOK_EVERY: Duration = Duration::from_millis(100);

impl<A: Actor> IntoFuture for Export<A> {
    type Output = Result<ComponentRef, SpawnError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

impl<A: Actor> fmt::Debug for Export<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
