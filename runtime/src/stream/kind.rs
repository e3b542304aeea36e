//! The type of a stream's items, and how a value of it becomes bytes: once for each encoding, whoever
//! gets them.

use std::{
    any::{Any, TypeId, type_name},
    sync::Arc,
};

use botzilla_wire::{Encoding, EndCode, encoding, fingerprint::Layout, stream::End};
use bytes::Bytes;
use serde::Serialize;

use super::{SendError, item::Shared};
use crate::{Data, contain};

/// A longer item than this has room behind it, or its encoder would move it: that reserves as much
/// behind each large byte string.
const SLACK: usize = 4096;

/// What is known of an item's type.
pub(crate) struct Kind {
    pub(crate) type_id: TypeId,
    pub(crate) type_name: &'static str,
    /// None: it travels as JSON only.
    pub(crate) layout: Option<Arc<Layout>>,
    pub(super) encode: fn(&(dyn Any + Send + Sync), Encoding, usize) -> Result<Bytes, String>,
    pub(crate) schema: fn() -> serde_json::Value,
}

/// An item and what it is encoded, as far as that was wanted.
#[derive(Clone)]
pub(crate) struct Prepared {
    pub(crate) shared: Shared,
    forms: [Option<Result<Bytes, SendError>>; 2],
}

/// Why a subscriber can't get an item that others can.
pub(crate) struct Obstacle {
    pub(crate) code: EndCode,
    pub(crate) text: String,
}

pub(super) fn slot(encoding: Encoding) -> usize {
    usize::from(encoding != Encoding::Bincode)
}

impl Prepared {
    pub(crate) fn new(shared: Shared) -> Self {
        Self {
            shared,
            forms: [None, None],
        }
    }

    pub(crate) fn bytes(&self, encoding: Encoding) -> Option<&Bytes> {
        self.forms[slot(encoding)].as_ref()?.as_ref().ok()
    }

    /// Whether nobody has tried to encode it so.
    pub(super) fn lacks(&self, encoding: Encoding) -> bool {
        self.forms[slot(encoding)].is_none()
    }

    pub(super) fn set(&mut self, encoding: Encoding, form: Result<Bytes, SendError>) {
        self.forms[slot(encoding)] = Some(form);
    }

    /// How long it is in each encoding that it is in.
    pub(super) fn lengths(&self) -> [Option<usize>; 2] {
        let len =
            |form: &Option<Result<Bytes, SendError>>| Some(form.as_ref()?.as_ref().ok()?.len());
        [len(&self.forms[0]), len(&self.forms[1])]
    }

    pub(super) fn len(&self, encoding: Encoding) -> usize {
        self.bytes(encoding).map_or(0, Bytes::len)
    }

    /// What keeps it from a subscriber that takes so many bytes, in this encoding.
    pub(super) fn obstacle(&self, encoding: Option<Encoding>, max: usize) -> Option<Obstacle> {
        match self.forms[slot(encoding?)].as_ref()? {
            Ok(bytes) if bytes.len() <= max => None,
            Ok(bytes) => Some(Obstacle {
                code: EndCode::TooLarge,
                text: format!(
                    "it has {} bytes, and this subscriber's node takes {max} (`stream_payload`)",
                    bytes.len()
                ),
            }),
            Err(SendError::TooLarge { len, max, .. }) => Some(Obstacle {
                code: EndCode::TooLarge,
                text: format!(
                    "it has {len} bytes in this subscriber's encoding, and its publisher's node sends \
                     {max} (`stream_payload`)"
                ),
            }),
            Err(SendError::Codec { reason, .. }) => Some(Obstacle {
                code: EndCode::CannotEncode,
                text: reason.clone(),
            }),
            Err(error) => Some(Obstacle {
                code: EndCode::CannotEncode,
                text: error.to_string(),
            }),
        }
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

    /// The encoding that the stream's own subscribers speak: without it there is no item.
    pub(super) fn native(&self) -> Encoding {
        self.encoding(Encoding::Bincode)
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
    let mut out = buffer(length);
    contain::catch(|| encoding::encode(encoding, value, &mut out))
        .map_err(|panicked| format!("its `Serialize` panicked: {panicked}"))?
        .map_err(|error| error.to_string())?;
    Ok(out.into())
}

/// Room for an item, given how long the last one was.
fn buffer(length: usize) -> Vec<u8> {
    let slack = if length > SLACK {
        // Those of a camera differ by as much.
        SLACK + length / 16
    } else {
        0
    };
    Vec::with_capacity(length + slack)
}

#[cfg(test)]
mod tests {
    use botzilla_wire::Blob;

    use super::*;

    #[test]
    fn an_item_about_as_large_as_the_last_one_is_encoded_where_there_was_room_for_it() {
        let image = |len: usize| ("camera", Blob::from(vec![7_u8; len]), [1_u64; 16]);
        let mut last = Vec::new();
        encoding::encode(Encoding::Bincode, &image(5_000_000), &mut last).unwrap();
        for len in [4_900_000, 5_000_000, 5_300_000] {
            let mut out = buffer(last.len());
            let room = out.capacity();
            encoding::encode(Encoding::Bincode, &image(len), &mut out).unwrap();
            assert_eq!(out.capacity(), room, "it had to grow");
        }
        // Thousands of small ones may wait: they take no more than they are.
        assert_eq!(buffer(100).capacity(), 100);
    }
}
