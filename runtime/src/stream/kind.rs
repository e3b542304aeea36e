//! The type of a stream's items, and how a value of it becomes bytes: once for each encoding, whoever
//! gets them.

use std::{
    any::{Any, TypeId, type_name},
    sync::Arc,
};

use botzilla_wire::{Encoding, EndCode, encoding, fingerprint::Layout, stream::End};
use bytes::Bytes;
use serde::Serialize;

use super::item::Shared;
use crate::{Data, contain};

/// What is known of an item's type.
pub(crate) struct Kind {
    pub(crate) type_id: TypeId,
    pub(crate) type_name: &'static str,
    /// None: it travels as JSON only.
    pub(crate) layout: Option<Arc<Layout>>,
    pub(super) encode: fn(&(dyn Any + Send + Sync), Encoding, usize) -> Result<Bytes, String>,
    pub(crate) schema: fn() -> serde_json::Value,
}

/// An item and what it is encoded.
#[derive(Clone)]
pub(crate) struct Prepared {
    pub(crate) shared: Shared,
    pub(super) bytes: [Option<Bytes>; 2],
}

pub(super) fn slot(encoding: Encoding) -> usize {
    usize::from(encoding != Encoding::Bincode)
}

impl Prepared {
    pub(crate) fn new(shared: Shared) -> Self {
        Self {
            shared,
            bytes: [None, None],
        }
    }

    pub(crate) fn bytes(&self, encoding: Encoding) -> Option<&Bytes> {
        self.bytes[slot(encoding)].as_ref()
    }

    pub(super) fn len(&self, encoding: Encoding) -> usize {
        self.bytes(encoding).map_or(0, Bytes::len)
    }
}

impl Kind {
    pub(crate) fn of<T: Data + Sync>() -> Self {
        Self {
            type_id: TypeId::of::<T>(),
            type_name: type_name::<T>(),
            layout: layout_of::<T>(),
            encode: encode::<T>,
            schema: || schemars::schema_for!(T).to_value(),
        }
    }

    /// How the items are encoded for who would have them so.
    pub(super) fn encoding(&self, wanted: Encoding) -> Encoding {
        if self.layout.is_none() {
            Encoding::Json
        } else {
            wanted
        }
    }

    pub(super) fn wrong_schema(&self) -> End {
        let text = self.layout.as_ref().map_or("", |layout| layout.text());
        End::refused(EndCode::WrongSchema, text)
    }
}

/// A type's layout; `None` if it can't be traced. Tracing runs the type's own `Deserialize`.
pub(crate) fn layout_of<T: Data>() -> Option<Arc<Layout>> {
    let layout = contain::catch(Layout::of::<T, ()>).ok()?.ok()?;
    Some(Arc::new(layout))
}

fn encode<T: Serialize + 'static>(
    value: &(dyn Any + Send + Sync),
    encoding: Encoding,
    length: usize,
) -> Result<Bytes, String> {
    let value: &T = value.downcast_ref().ok_or("it is of another type")?;
    let mut out = Vec::with_capacity(length);
    contain::catch(|| encoding::encode(encoding, value, &mut out))
        .map_err(|panicked| format!("its `Serialize` panicked: {panicked}"))?
        .map_err(|error| error.to_string())?;
    Ok(out.into())
}
