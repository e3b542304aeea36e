//! What is to be done when all locks are given back.

use std::{mem, sync::Arc, task::Waker};

use tokio::sync::Notify;

use super::{
    item::{Body, Entry},
    source::Source,
};
use crate::contain;

/// Collected under locks, done after them: who is woken may do anything at once, and what is dropped
/// may be other people's code.
#[derive(Default)]
pub(crate) struct After {
    pub(crate) wakers: Vec<Waker>,
    pub(crate) waste: Vec<Entry>,
    pub(crate) pokes: Vec<Arc<Notify>>,
    /// Publishers that a subscriber has room for again.
    pub(crate) rooms: Vec<Arc<Source>>,
    bodies: Vec<Body>,
    /// What is to be logged: who listens to that may do anything as well.
    notes: Vec<Box<dyn FnOnce() + Send>>,
}

impl After {
    pub(crate) fn drop_body(&mut self, body: Body) {
        self.bodies.push(body);
    }

    pub(crate) fn log(&mut self, note: impl FnOnce() + Send + 'static) {
        self.notes.push(Box::new(note));
    }
}

impl Drop for After {
    fn drop(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
        self.pokes.drain(..).for_each(|poke| poke.notify_one());
        self.rooms.drain(..).for_each(|source| source.has_room());
        self.notes.drain(..).for_each(|note| note());
        if !self.waste.is_empty() {
            contain::drop_value(mem::take(&mut self.waste));
        }
        if !self.bodies.is_empty() {
            contain::drop_value(mem::take(&mut self.bodies));
        }
    }
}
