//! A component as others see it: the same for one on this node and one on another machine.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use botzilla_wire::{Encoding, encoding};

use crate::{
    Ask, CallError, Describe, Description, Flushed, Message, Node, Reason, Sent, Tell,
    TryTellError,
    ask::{bytes_answer, remote_answer},
    conduit::{Conduit, Place, Raw, Reception, Terms, check_message_name, expired},
};

/// A component, wherever it is: `Send`, cheap to clone.
///
/// What is sent through one handle, or by one component, arrives in the order in which it was sent.
#[derive(Clone)]
pub struct ComponentRef {
    conduit: Result<Arc<Conduit>, Arc<BadName>>,
}

#[derive(Debug)]
struct BadName {
    name: String,
    reason: String,
    time: Duration,
}

impl ComponentRef {
    pub(crate) fn new(conduit: Arc<Conduit>) -> Self {
        Self {
            conduit: Ok(conduit),
        }
    }

    pub(crate) fn bad(node: &Node, name: &str, reason: String) -> Self {
        let time = node.default_time();
        Self {
            conduit: Err(Arc::new(BadName {
                name: name.to_owned(),
                reason,
                time,
            })),
        }
    }

    pub(crate) fn conduit(&self) -> Result<&Arc<Conduit>, Reason> {
        match &self.conduit {
            Ok(conduit) => Ok(conduit),
            Err(bad) => Err(Reason::NoSuchComponent {
                close: Vec::new(),
                note: bad.reason.clone(),
            }),
        }
    }

    /// The same without the reason, which is large to move.
    #[inline]
    pub(crate) fn known(&self) -> Option<&Arc<Conduit>> {
        self.conduit.as_ref().ok()
    }

    #[inline]
    pub(crate) fn time(&self) -> Duration {
        match &self.conduit {
            Ok(conduit) => conduit.node.default_time(),
            Err(bad) => bad.time,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match &self.conduit {
            Ok(conduit) => &conduit.target,
            Err(bad) => &bad.name,
        }
    }

    /// Asks it: resolves to the reply, or to one error that says what happened.
    ///
    /// ```
    /// # use botzilla::prelude::*;
    /// # #[botzilla::message(reply = f64)] struct Charge;
    /// # async fn run(node: Node) -> botzilla::Result<()> {
    /// let left = node.component("battery").ask(Charge).await?;
    /// # let _: f64 = left; Ok(()) }
    /// ```
    pub fn ask<M: Message>(&self, message: M) -> Ask<M> {
        Ask::new(self.clone(), message)
    }

    /// Tells it: resolves when the message has credit and its place in the queue. The [`Sent`] that
    /// it yields gives the outcome to whoever awaits it.
    ///
    /// ```
    /// # use botzilla::prelude::*;
    /// # #[botzilla::message] struct Light { on: bool }
    /// # async fn run(node: Node) -> botzilla::Result<()> {
    /// let sent = node.component("lamp").tell(Light { on: true }).await?;
    /// sent.await?; // its handler ran to the end
    /// # Ok(()) }
    /// ```
    pub fn tell<M: Message>(&self, message: M) -> Tell<M> {
        Tell::new(self.clone(), message)
    }

    /// Tells it without waiting for anything; gives the message back if that can't be.
    ///
    /// # Errors
    ///
    /// No credit now ([`TryTellError::is_full`]), no connection yet, or whatever else.
    pub fn try_tell<M: Message>(&self, message: M) -> Result<Sent, TryTellError<M>> {
        Tell::new(self.clone(), message).try_send()
    }

    /// Waits until all that was told through this handle so far has ended.
    pub async fn flush(&self) -> Flushed {
        match &self.conduit {
            Ok(conduit) => conduit.tells.flush().await,
            Err(_) => Flushed::default(),
        }
    }

    /// Resolves when a message would find the component: it is registered and its node connected.
    ///
    /// # Errors
    ///
    /// It didn't come within that time.
    pub async fn ready(&self, within: Duration) -> Result<(), CallError> {
        let failed = |reason| CallError::new(self.name(), "(ready)", reason);
        let conduit = self.conduit().map_err(failed)?;
        let terms = Terms::now(within);
        let deadlines = conduit.node.deadlines();
        let mut last = expired(within, false);
        let waited = deadlines
            .within(terms.deadline, async {
                loop {
                    match conduit
                        .node
                        .find_place(&conduit.target, terms.deadline)
                        .await
                    {
                        Ok(_) => return Ok(()),
                        Err(reason @ Reason::ShuttingDown) => return Err(reason),
                        Err(reason) => last = reason,
                    }
                    // The directory's news come by themselves; this is for what isn't in it.
                    let pause = Instant::now() + Duration::from_millis(50);
                    deadlines.at(pause).await;
                }
            })
            .await;
        waited.unwrap_or(Err(last)).map_err(failed)
    }

    /// The component in full, with the schemas of its messages: from its node, wherever that is.
    ///
    /// # Errors
    ///
    /// It isn't there, or its node doesn't answer.
    pub async fn describe(&self, within: Duration) -> Result<Description, CallError> {
        let failed = |reason| CallError::new(self.name(), Describe::NAME, reason);
        let conduit = self.conduit().map_err(failed)?;
        let terms = Terms::now(within);
        let node = &conduit.node;
        let found = node.find_place(&conduit.target, terms.deadline);
        let found = node.deadlines().within(terms.deadline, found).await;
        let place = found
            .unwrap_or_else(|_| Err(expired(within, false)))
            .map_err(failed)?;
        let described = match place {
            Place::Here(_) => node.describe(self.name()),
            Place::There(link, _) => {
                let component = self.name().to_owned();
                let left = terms.deadline.saturating_duration_since(Instant::now());
                let service = node.component(format!("node/{}", link.peer()));
                let asked = service.ask(Describe { component }).within(left).await;
                asked.map_err(|error| failed(error.into_reason()))?
            }
        };
        let note = "its node doesn't have it any more".to_owned();
        described.ok_or_else(|| {
            failed(Reason::NoSuchComponent {
                close: Vec::new(),
                note,
            })
        })
    }

    /// Asks by name, in JSON: for tools that don't have the message's type.
    ///
    /// # Errors
    ///
    /// As for [`ComponentRef::ask`].
    pub async fn ask_json(
        &self,
        message: &str,
        payload: &serde_json::Value,
        within: Option<Duration>,
    ) -> Result<serde_json::Value, CallError> {
        let failed = |reason| CallError::new(self.name(), message, reason);
        let conduit = self.conduit().map_err(failed)?;
        let raw = self.raw(message, payload, within).map_err(failed)?;
        let (deadline, time) = (raw.terms.deadline, raw.terms.time);
        let reception = conduit.ask_raw(raw).await.map_err(failed)?;
        let answered = conduit.node.deadlines().within(deadline, async {
            match reception {
                Reception::Bytes(_, answer) => bytes_answer(answer.await.ok(), time),
                Reception::There(_, mut awaited) => {
                    let ended = (&mut awaited.ended).await;
                    awaited.over();
                    remote_answer(ended.ok(), time)
                }
            }
        });
        let bytes = answered
            .await
            .unwrap_or_else(|_| Err(expired(time, true)))
            .map_err(failed)?;
        encoding::decode(Encoding::Json, &bytes, conduit.node.limits()).map_err(|error| {
            failed(Reason::unreadable(format!(
                "its reply can't be read: {error}"
            )))
        })
    }

    /// Tells by name, in JSON.
    ///
    /// # Errors
    ///
    /// As for [`ComponentRef::tell`].
    pub async fn tell_json(
        &self,
        message: &str,
        payload: &serde_json::Value,
        within: Option<Duration>,
    ) -> Result<Sent, CallError> {
        let failed = |reason| CallError::new(self.name(), message, reason);
        let conduit = self.conduit().map_err(failed)?;
        let raw = self.raw(message, payload, within).map_err(failed)?;
        conduit.tell_raw(raw).await.map_err(failed)
    }

    fn raw(
        &self,
        message: &str,
        payload: &serde_json::Value,
        within: Option<Duration>,
    ) -> Result<Raw, Reason> {
        check_message_name(message)?;
        Ok(Raw {
            message: message.to_owned(),
            encoding: Encoding::Json,
            payload: payload.to_string().into(),
            terms: Terms::now(within.unwrap_or_else(|| self.time())),
        })
    }
}

impl fmt::Debug for ComponentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ComponentRef").field(&self.name()).finish()
    }
}
