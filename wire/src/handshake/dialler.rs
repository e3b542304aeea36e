//! The side that dialled.
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::{Established, HandshakeError, Local};
use crate::ident::{ConnectionId, NodeId};

/// The dialling side of a handshake.
#[derive(Debug)]
pub struct Dialler {
    deadline: Instant,
}

impl Dialler {
    /// Starts a handshake: the hello waits in [`Dialler::poll_transmit`].
    pub fn new(
        local: &Local,
        expect: Option<NodeId>,
        replaces: Option<ConnectionId>,
        nonce: [u8; 32],
        now: Instant,
    ) -> Self {
        let _ = (expect, replaces, nonce);
        Self {
            deadline: now + local.limits.handshake_time,
        }
    }

    /// What is to be sent next.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        None
    }

    /// Takes what arrived. Bytes after the last message of the handshake stay in `input`.
    ///
    /// # Errors
    ///
    /// If the handshake failed; it is over then.
    pub fn receive(
        &mut self,
        now: Instant,
        input: &mut BytesMut,
    ) -> Result<Option<Established>, HandshakeError> {
        let _ = (now, input);
        Ok(None)
    }

    /// When the handshake must be done.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }
}
