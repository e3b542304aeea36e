//! String maps, as in the Go library that this one re-imagines: one listener, a map in, a map out.

use std::{
    collections::BTreeMap,
    fmt,
    future::{Future, IntoFuture},
    rc::Rc,
    time::{Duration, Instant},
};

use botzilla_wire::Name;

use crate::{
    Answer, CallError, ComponentRef, Message, Node, NodeConfig, Reason, Result, RouteOptions,
    ambient::{Ambience, Ambient},
    node::{Spawn, of_routes},
};

/// How long a component that is closed may take to answer what waits.
const CLOSING: Duration = Duration::from_secs(1);

/// A string map.
pub type Map = BTreeMap<String, String>;

/// A message that is a string map. Its reply is a map too, or a text that says why not.
#[crate::message(reply = Result<Map, String>, name = "map")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapMessage(pub Map);

/// A component with one listener for string maps.
///
/// The listener runs on a thread of the component's own, one map at a time. So it may block, and may
/// itself call [`MapComponent::send_message`] and the others; what waits in a circle fails at once.
///
/// ```no_run
/// use botzilla::{Map, MapComponent};
///
/// # fn main() -> botzilla::Result<()> {
/// let lamp = MapComponent::new("127.0.0.1:6985", "a passphrase of 16 bytes or more", "lamp", 0, |map| {
///     let colour = map.get("colour").ok_or("no colour given")?;
///     Ok(Map::from([("shines".to_owned(), colour.clone())]))
/// })?;
/// let reply = lamp.send_message("switch", &Map::from([("on".to_owned(), "true".to_owned())]))?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct MapComponent {
    name: String,
    node: Node,
    /// The node is there for this component alone.
    own_node: bool,
}

impl MapComponent {
    /// A component on a node and a thread of its own that listens on `port` (0: any free one).
    /// Blocks until it is registered; not for use within async code, which has [`MapComponent::on`].
    ///
    /// # Errors
    ///
    /// A setting can't be used, the registry wasn't reached, or the name is taken.
    pub fn new<F>(registry: &str, secret: &str, name: &str, port: u16, listener: F) -> Result<Self>
    where
        F: Fn(Map) -> Result<Map, String> + Send + 'static,
    {
        let config = NodeConfig::new(registry, secret)?.listen(format!("[::]:{port}"));
        let node = Node::start_blocking(config)?;
        block_on(async {
            let spawned = Self::on(&node, name, listener).await;
            match spawned {
                Ok(component) => Ok(Self {
                    own_node: true,
                    ..component
                }),
                Err(error) => {
                    node.shutdown(Duration::ZERO).await;
                    Err(error)
                }
            }
        })
    }

    /// A component on a node that is there already.
    ///
    /// # Errors
    ///
    /// The name can't be one, or is taken.
    pub async fn on<F>(node: &Node, name: &str, listener: F) -> Result<Self>
    where
        F: Fn(Map) -> Result<Map, String> + Send + 'static,
    {
        // By hand, because a function that is spawned hears no broadcasts, and a listener does.
        let blueprint = of_routes(move |routes| {
            let options = RouteOptions::new().broadcast(true);
            let listener = Rc::new(listener);
            routes.add_blocking_function::<MapMessage, _, _>(options, move |message, ctx| {
                let listener = listener.clone();
                // Within the poll, where what it asks itself inherits path and deadline.
                async move {
                    let Some(ambient) = Ambient::current() else {
                        return Answer::Now(listener(message.0));
                    };
                    // It holds the thread, so all that its component should do waits with it.
                    let mut ambience = Some(Ambience {
                        component: Name::new(ctx.name()).ok().map(Rc::new),
                        path: ambient.path,
                        deadline: ambient.deadline,
                    });
                    Answer::Now(Ambience::enter(&mut ambience, || listener(message.0)))
                }
            });
        });
        // On the node's thread a listener that asks somebody would keep the answer from coming.
        Spawn::new(node.clone(), name.to_owned(), blueprint)
            .own_thread()
            .await?;
        Ok(Self {
            name: name.to_owned(),
            node: node.clone(),
            own_node: false,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The node that it is on.
    pub fn node(&self) -> &Node {
        &self.node
    }

    fn component(&self, name: &str) -> ComponentRef {
        let sender = Name::new(&self.name).ok();
        self.node.component_from(name, sender)
    }

    /// Asks another component: a map out, a map back.
    ///
    /// # Errors
    ///
    /// The other component said no ([`MapError::Refused`]), or couldn't be asked.
    pub async fn ask(&self, name: &str, map: Map) -> Result<Map, MapError> {
        match self.component(name).ask(MapMessage(map)).await {
            Ok(Ok(map)) => Ok(map),
            Ok(Err(reason)) => Err(MapError::Refused {
                component: name.to_owned(),
                reason,
            }),
            Err(error) => Err(MapError::Call(error)),
        }
    }

    /// [`MapComponent::ask`] for programs that aren't async: blocks.
    ///
    /// # Errors
    ///
    /// The same; [`Reason::WouldBlock`] on the node's own thread.
    pub fn send_message(&self, name: &str, map: &Map) -> Result<Map, MapError> {
        self.may_block(name, MapMessage::NAME)?;
        block_on(self.ask(name, map.clone()))
    }

    /// A map for all components that listen to maps. Their replies are dropped.
    ///
    /// # Errors
    ///
    /// It couldn't be sent at all; [`Reason::WouldBlock`] on the node's own thread.
    pub fn broadcast_message(&self, map: &Map) -> Result<crate::BroadcastReport, CallError> {
        self.may_block("everyone", MapMessage::NAME)?;
        let broadcast = self
            .node
            .broadcast_from(&self.name, MapMessage(map.clone()));
        block_on(broadcast.into_future())
    }

    /// Stops listening and gives the name back, so that another may have it at once; blocks until
    /// what waits was answered, for 1 s at most. A node of its own ends with it.
    ///
    /// From its own listener, or on the node's own thread, it begins all that and doesn't wait.
    ///
    /// A program that just ends is noticed too, but its names stay taken for some seconds.
    pub fn close(&self) {
        let by_itself =
            Ambient::current().is_some_and(|by| by.component.as_deref() == Some(&*self.name));
        if by_itself || self.node.is_this_thread() {
            if self.own_node {
                let node = self.node.clone();
                self.node
                    .spawn_here(async move { drop(node.shutdown(CLOSING).await) });
            } else if let Some(hosted) = self.node.inner().hosted_named(&self.name) {
                hosted.order_stop();
            }
            return;
        }
        block_on(async {
            if self.own_node {
                self.node.shutdown(CLOSING).await;
            } else if let Some(hosted) = self.node.inner().hosted_named(&self.name) {
                hosted.order_stop();
                let by = Instant::now() + CLOSING;
                // Past that time it is left to end by itself.
                let _ = self.node.deadlines().within(by, hosted.ended()).await;
            }
        });
    }

    /// The names of all components. Blocks.
    ///
    /// # Errors
    ///
    /// The registry can't be asked; [`Reason::WouldBlock`] on the node's own thread.
    pub fn get_components(&self) -> Result<Vec<String>, CallError> {
        self.may_block("registry", "List")?;
        block_on(self.node.components())
    }

    /// The node's thread does the network: parked, it would wait for itself.
    fn may_block(&self, to: &str, message: &str) -> Result<(), CallError> {
        if self.node.is_this_thread() {
            return Err(CallError::new(to, message, Reason::WouldBlock));
        }
        Ok(())
    }
}

/// Any executor will do: none of the node's futures needs one of a kind.
///
/// A listener's thread is one of tokio's: its budget for one poll would be used up in here for good.
fn block_on<F: Future>(future: F) -> F::Output {
    futures_executor::block_on(tokio::task::unconstrained(future))
}

/// Why a string map wasn't answered.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// The listener returned an error.
    #[error("{component:?} refused: {reason}")]
    Refused {
        /// Who.
        component: String,
        /// What its listener said.
        reason: String,
    },
    /// The listener couldn't be asked.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl fmt::Debug for MapComponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapComponent")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
