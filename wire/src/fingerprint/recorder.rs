//! The deserializer that a type is run against: it answers with samples, as bincode would.

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor, value::U32Deserializer,
};

use super::{
    graph::{Content, Shape, UNKNOWN},
    samples::{CHARS, FLOATS, INTEGERS, LENGTHS, TEXTS},
    trace::{Key, Slot, Stop, Tracer, fields, variants},
};

pub(super) struct Recorder<'t> {
    pub(super) tracer: &'t mut Tracer,
    pub(super) slot: Slot,
}

impl Recorder<'_> {
    /// A scalar: which sample is its turn.
    fn scalar(&mut self, name: &'static str) -> Result<usize, Stop> {
        self.tracer
            .node(self.slot, Key::scalar(name), || Shape::Scalar(name))?;
        Ok(self.tracer.sample(self.slot))
    }

    fn self_describing<T>() -> Result<T, Stop> {
        let reason = "it asks the format what comes next, which only JSON can say";
        Err(Stop::Never(reason.to_owned()))
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ident),* $(,)?) => {
        $(fn $method<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
            let sample = INTEGERS[self.scalar(stringify!($type))? % INTEGERS.len()];
            visitor.$visit($type::try_from(sample).unwrap_or(1))
        })*
    };
}

impl<'de> Deserializer<'de> for Recorder<'_> {
    type Error = Stop;

    integers! {
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64, deserialize_u128 visit_u128 u128,
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64, deserialize_i128 visit_i128 i128,
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        Self::self_describing()
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        Self::self_describing()
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        Self::self_describing()
    }

    fn deserialize_bool<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        let sample = self.scalar("bool")?;
        visitor.visit_bool(sample % 2 == 1)
    }

    fn deserialize_f32<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        let sample = self.scalar("f32")?;
        visitor.visit_f32(FLOATS[sample % FLOATS.len()] as f32)
    }

    fn deserialize_f64<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        let sample = self.scalar("f64")?;
        visitor.visit_f64(FLOATS[sample % FLOATS.len()])
    }

    fn deserialize_char<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        let sample = self.scalar("char")?;
        visitor.visit_char(CHARS[sample % CHARS.len()])
    }

    fn deserialize_str<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        let sample = self.scalar("str")?;
        visitor.visit_borrowed_str(TEXTS[sample % TEXTS.len()])
    }

    fn deserialize_string<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        let sample = self.scalar("str")?;
        visitor.visit_string(TEXTS[sample % TEXTS.len()].to_owned())
    }

    fn deserialize_bytes<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        let sample = self.scalar("bytes")?;
        visitor.visit_bytes(&[0; 64][..LENGTHS[sample % LENGTHS.len()]])
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        let sample = self.scalar("bytes")?;
        visitor.visit_byte_buf(vec![0; LENGTHS[sample % LENGTHS.len()]])
    }

    fn deserialize_unit<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        self.scalar("()")?;
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        let Self { tracer, slot } = self;
        let node = tracer.node(slot, Key::of::<V>("option"), || Shape::Option(UNKNOWN))?;
        // A type that rejects `None` gets `Some` at its next try.
        let sample = tracer.sample(slot);
        if tracer.may_end_here(node) && sample % 2 == 0 {
            return visitor.visit_none();
        }
        tracer.open(node);
        let value = visitor.visit_some(Recorder {
            tracer: &mut *tracer,
            slot: (node, 0),
        })?;
        tracer.close();
        Ok(value)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let Self { tracer, slot } = self;
        let _ = name;
        let node = tracer.node(slot, Key::of::<V>("newtype"), || Shape::Alias(UNKNOWN))?;
        tracer.open(node);
        let value = visitor.visit_newtype_struct(Recorder {
            tracer: &mut *tracer,
            slot: (node, 0),
        })?;
        tracer.close();
        Ok(value)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        let Self { tracer, slot } = self;
        let node = tracer.node(slot, Key::of::<V>("seq"), || Shape::Seq(UNKNOWN))?;
        let left = length(tracer, slot, node);
        tracer.open(node);
        let value = visitor.visit_seq(Elements {
            tracer: &mut *tracer,
            node,
            place: 0,
            advance: 0,
            left,
        })?;
        tracer.close();
        Ok(value)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        let Self { tracer, slot } = self;
        let node = tracer.node(slot, Key::of::<V>("map"), || Shape::Map(UNKNOWN, UNKNOWN))?;
        let left = length(tracer, slot, node);
        tracer.open(node);
        let value = visitor.visit_map(Elements {
            tracer: &mut *tracer,
            node,
            place: 0,
            advance: 0,
            left,
        })?;
        tracer.close();
        Ok(value)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Stop> {
        let Self { tracer, slot } = self;
        let key = Key::of::<V>("tuple").len(len);
        let node = tracer.node(slot, key, || Shape::Tuple(vec![UNKNOWN; len]))?;
        all_of(tracer, node, len, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let Self { tracer, slot } = self;
        let node = tracer.node(slot, Key::of::<V>("struct").names(names), || fields(names))?;
        all_of(tracer, node, names.len(), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let Self { tracer, slot } = self;
        let node = tracer.node(slot, Key::of::<V>("enum").names(names), || variants(names))?;
        let variant = tracer.choose(node)?;
        let before = tracer.steps();
        tracer.open(node);
        tracer.open_variant(node, variant);
        let value = visitor.visit_enum(OneOf {
            tracer: &mut *tracer,
            node,
            variant,
        })?;
        let cost = tracer.steps() - before;
        tracer.close_variant(node, variant, cost);
        tracer.close();
        Ok(value)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// How many elements to show: one if they aren't known yet, none if they are, and more where that
/// was rejected.
fn length(tracer: &mut Tracer, slot: Slot, node: usize) -> usize {
    let sample = tracer.sample(slot);
    match (sample, tracer.may_end_here(node)) {
        (0, true) => 0,
        (0, false) => 1,
        (sample, _) => LENGTHS[sample % LENGTHS.len()],
    }
}

/// All fields of a tuple or struct, in order.
fn all_of<'de, V: Visitor<'de>>(
    tracer: &mut Tracer,
    node: usize,
    len: usize,
    visitor: V,
) -> Result<V::Value, Stop> {
    tracer.open(node);
    let value = visitor.visit_seq(Elements {
        tracer: &mut *tracer,
        node,
        place: 0,
        advance: 1,
        left: len,
    })?;
    tracer.close();
    Ok(value)
}

struct Elements<'t> {
    tracer: &'t mut Tracer,
    node: usize,
    place: usize,
    /// 1 where each element is another child of the node, 0 where they are all the same.
    advance: usize,
    left: usize,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Stop;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Stop> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        let slot = (self.node, self.place);
        self.place += self.advance;
        seed.deserialize(Recorder {
            tracer: self.tracer,
            slot,
        })
        .map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> MapAccess<'de> for Elements<'_> {
    type Error = Stop;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Stop> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Stop> {
        seed.deserialize(Recorder {
            tracer: self.tracer,
            slot: (self.node, 1),
        })
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

struct OneOf<'t> {
    tracer: &'t mut Tracer,
    node: usize,
    variant: u32,
}

impl OneOf<'_> {
    fn slot(&self) -> Slot {
        (self.node, self.variant as usize)
    }
}

impl<'de> EnumAccess<'de> for OneOf<'_> {
    type Error = Stop;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Stop> {
        let index: U32Deserializer<Stop> = self.variant.into_deserializer();
        Ok((seed.deserialize(index)?, self))
    }
}

impl<'de> VariantAccess<'de> for OneOf<'_> {
    type Error = Stop;

    fn unit_variant(self) -> Result<(), Stop> {
        self.tracer
            .set_content(self.node, self.variant, Content::Unit)
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Stop> {
        self.tracer
            .set_content(self.node, self.variant, Content::Newtype(UNKNOWN))?;
        let slot = self.slot();
        seed.deserialize(Recorder {
            tracer: self.tracer,
            slot,
        })
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Stop> {
        let slot = self.slot();
        let node = self
            .tracer
            .variant_fields(slot, || Shape::Tuple(vec![UNKNOWN; len]))?;
        all_of(self.tracer, node, len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let slot = self.slot();
        let node = self.tracer.variant_fields(slot, || fields(names))?;
        all_of(self.tracer, node, names.len(), visitor)
    }
}
