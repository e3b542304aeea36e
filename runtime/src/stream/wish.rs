//! What a subscriber asks for.

use std::{any::TypeId, sync::Arc, time::Duration};

use botzilla_wire::{
    Encoding, Name,
    fingerprint::Layout,
    stream::{Mode, Subscribe},
};

use super::name::StreamName;

/// A depth that means: as many as the publisher says.
pub(crate) const AS_PUBLISHED: u32 = u32::MAX;
/// Items that may be on their way to a subscriber, unless it asks for another depth.
const WINDOW_ITEMS: u64 = 1024;
/// Bytes that may be on their way to a subscriber; one item may go beyond.
const WINDOW_BYTES: u64 = 16 * 1024 * 1024;

/// What a subscriber asks for.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    /// The component that subscribes.
    pub(crate) subscriber: Option<Name>,
    /// Its items are taken in the component's turns, by a stream handler.
    pub(crate) by_handler: bool,
    /// None: as published.
    pub(crate) mode: Option<Mode>,
    pub(crate) depth: u32,
    pub(crate) interval: Duration,
    pub(crate) keep_last: u32,
    pub(crate) resubscribe: bool,
    /// It is given errors, and with them what they count. Otherwise the next item counts that too.
    pub(crate) hears_errors: bool,
    pub(crate) form: Form,
}

/// What the items are to be.
#[derive(Debug, Clone)]
pub(crate) enum Form {
    /// Values of a type.
    Typed {
        type_id: TypeId,
        /// None: it travels as JSON only.
        layout: Option<Arc<Layout>>,
    },
    /// JSON, whatever the type.
    Json,
    /// Bytes, whatever they mean.
    Raw,
}

impl Wish {
    pub(crate) fn new(form: Form) -> Self {
        Self {
            subscriber: None,
            by_handler: false,
            mode: None,
            depth: AS_PUBLISHED,
            interval: Duration::ZERO,
            keep_last: 0,
            resubscribe: true,
            hears_errors: true,
            form,
        }
    }

    /// A publisher that is reliable grants that, and one that isn't doesn't: so it is as published.
    pub(crate) fn mode(&self) -> Mode {
        self.mode.unwrap_or(Mode::Reliable)
    }

    /// How many items and bytes may be on their way to it.
    pub(crate) fn window(&self) -> (u64, u64) {
        let items = match (self.mode, self.depth) {
            (_, AS_PUBLISHED) => WINDOW_ITEMS,
            // It isn't what waits that this bounds: each item is taken in at once, and pushes the
            // oldest out.
            (Some(Mode::Latest), depth) => u64::from(depth).max(WINDOW_ITEMS),
            (_, depth) => u64::from(depth),
        };
        (items, WINDOW_BYTES)
    }

    /// The same, for the publisher's node.
    pub(crate) fn subscribe(&self, name: &StreamName) -> Subscribe {
        let (encoding, fingerprint) = match &self.form {
            Form::Typed { layout, .. } => match layout {
                Some(layout) => (Encoding::Bincode, Some(layout.fingerprint().0)),
                None => (Encoding::Json, None),
            },
            Form::Json => (Encoding::Json, None),
            Form::Raw => (Encoding::Bincode, None),
        };
        let (items, bytes) = self.window();
        Subscribe {
            component: name.component().clone(),
            stream: name.stream().clone(),
            subscriber: self.subscriber.clone(),
            encoding,
            fingerprint,
            mode: self.mode(),
            depth: self.depth,
            keep_last: self.keep_last,
            interval: self.interval,
            items,
            bytes,
            resumes: None,
        }
    }
}
