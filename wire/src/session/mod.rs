//! One connection after its handshake.

mod event;

use std::{marker::PhantomData, time::Instant};

use bytes::{Bytes, BytesMut};

pub use self::event::{Event, Kind, Send, Short};
use crate::{
    code::{CloseReason, Failure},
    error::SessionError,
    handshake::Established,
    limits::Limits,
    output::Output,
    route::{Route, RouteCounters, RouteNo, Window},
};

/// One connection after its handshake. (Signatures; the bodies follow.)
#[derive(Debug)]
pub struct Session<T> {
    at: Instant,
    tokens: PhantomData<T>,
}

#[allow(
    missing_docs,
    unused_variables,
    clippy::needless_pass_by_value,
    reason = "bodies follow"
)]
impl<T> Session<T> {
    pub fn new(established: Established, limits: &Limits, now: Instant) -> Self {
        Self {
            at: now,
            tokens: PhantomData,
        }
    }
    pub fn route(&mut self, route: &Route) -> Option<RouteNo> {
        None
    }
    pub fn window(&self, route: RouteNo) -> Option<Window> {
        None
    }
    pub fn try_send(&mut self, send: Send<'_>, token: T) -> Result<u64, (T, Short)> {
        Err((token, Short::Closing))
    }
    /// `Some`: it certainly did not run. Whoever waits for credit may be served now.
    pub fn cancel(&mut self, id: u64) -> Option<T> {
        None
    }
    pub fn reply(&mut self, id: u64, payload: Bytes) {}
    pub fn delivered(&mut self, id: u64) {}
    pub fn fail(&mut self, id: u64, failure: Failure) {}
    pub fn close(&mut self, why: CloseReason) {}
    pub fn receive(
        &mut self,
        now: Instant,
        input: &mut BytesMut,
        events: &mut Vec<Event<T>>,
    ) -> Result<(), SessionError> {
        Ok(())
    }
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Output) -> bool {
        false
    }
    pub fn wants_transmit(&self) -> bool {
        false
    }
    pub fn poll_timeout(&self) -> Instant {
        self.at
    }
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), SessionError> {
        Ok(())
    }
    pub fn last_received(&self) -> Instant {
        self.at
    }
    /// When a message or an outcome last went either way.
    pub fn last_active(&self) -> Instant {
        self.at
    }
    /// Everything of ours that is open: token, may have run, route.
    pub fn end(&mut self) -> Vec<(T, bool, RouteNo)> {
        Vec::new()
    }
    pub fn open(&self) -> usize {
        0
    }
    pub fn owed(&self) -> usize {
        0
    }
    pub fn outbound_routes(&self) -> impl Iterator<Item = (RouteNo, &Route, RouteCounters)> {
        std::iter::empty()
    }
    pub fn inbound_routes(&self) -> impl Iterator<Item = (RouteNo, &Route, RouteCounters)> {
        std::iter::empty()
    }
}
