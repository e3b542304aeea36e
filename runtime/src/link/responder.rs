//! The answer to one message that came in.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use botzilla_wire as wire;
use bytes::Bytes;
use wire::{
    code::{Code, Failure},
    session::Kind,
};

use super::Link;

/// Ends one message of the other side, exactly once; dropped unused it answers `NoReply`. Works on
/// any thread, and does nothing when the connection has ended.
pub(crate) struct Responder {
    link: Option<Arc<Link>>,
    id: u64,
    kind: Kind,
}

impl Responder {
    pub(super) fn new(link: Arc<Link>, id: u64, kind: Kind) -> Self {
        Self {
            link: Some(link),
            id,
            kind,
        }
    }

    /// Answers an ask. (A tell has no reply: it is delivered.)
    pub(crate) fn reply(mut self, payload: Bytes) {
        if let Some(link) = self.link.take() {
            let id = self.id;
            match self.kind {
                Kind::Ask => link.answer(|session| session.reply(id, payload)),
                Kind::Tell => link.answer(|session| session.delivered(id)),
            }
            link.cancels.answered(id);
        }
    }

    /// A tell ran to its end. (An ask that ends so has got no reply.)
    pub(crate) fn delivered(mut self) {
        if self.kind == Kind::Tell
            && let Some(link) = self.link.take()
        {
            let id = self.id;
            link.answer(|session| session.delivered(id));
            link.cancels.answered(id);
        }
    }

    /// The message was refused or ended badly.
    pub(crate) fn fail(mut self, failure: Failure) {
        if let Some(link) = self.link.take() {
            let id = self.id;
            link.answer(|session| session.fail(id, failure));
            link.cancels.answered(id);
        }
    }

    /// Whether nobody waits for the message's end any more.
    pub(crate) fn is_cancelled(&self) -> bool {
        let asks = self.kind == Kind::Ask;
        self.link
            .as_ref()
            .is_none_or(|link| link.cancels.is_gone(self.id, asks))
    }

    /// Ready when nobody waits for the message's end any more.
    pub(crate) fn poll_cancelled(&self, cx: &mut Context<'_>) -> Poll<()> {
        let asks = self.kind == Kind::Ask;
        match &self.link {
            Some(link) => link.cancels.poll(self.id, asks, cx),
            None => Poll::Ready(()),
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if let Some(link) = self.link.take() {
            let id = self.id;
            let failure = Failure::failed(Code::NoReply, "the handler ended without a reply");
            link.answer(|session| session.fail(id, failure));
            link.cancels.answered(id);
        }
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
