//! The side that was dialled.
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::{Established, HandshakeError, Local, Proven, RefusalCode};

/// The accepting side of a handshake.
#[derive(Debug)]
pub struct Acceptor {
    deadline: Instant,
}

impl Acceptor {
    /// Waits for a hello.
    pub fn new(local: &Local, nonce: [u8; 32], now: Instant) -> Self {
        let _ = nonce;
        Self {
            deadline: now + local.limits.handshake_time,
        }
    }

    /// What is to be sent next.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        None
    }

    /// Takes what arrived, and says once who the peer is when it has proven itself. The owner then
    /// calls [`Acceptor::accept`] or [`Acceptor::refuse`].
    ///
    /// # Errors
    ///
    /// If the handshake failed; it is over then.
    pub fn receive(
        &mut self,
        now: Instant,
        input: &mut BytesMut,
    ) -> Result<Option<Proven>, HandshakeError> {
        let _ = (now, input);
        Ok(None)
    }

    /// Says yes: the acceptor's proof waits in [`Acceptor::poll_transmit`].
    ///
    /// # Panics
    ///
    /// If the peer isn't proven, or was answered already.
    pub fn accept(&mut self) -> Established {
        panic!("accept comes after receive has returned Proven")
    }

    /// Says no.
    pub fn refuse(&mut self, why: RefusalCode) {
        let _ = why;
    }

    /// When the handshake must be done.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }
}
