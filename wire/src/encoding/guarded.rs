//! JSON in: serde_json under a `Deserializer` that bounds nesting and memory, refuses fields that
//! the type doesn't have, and remembers where an error was.
//!
//! A type may skip what it doesn't know (`deserialize_ignored_any`); coming from a person or a
//! script, that is a typing mistake that must not pass silently, so here it is an error.

use std::{
    cell::{Cell, RefCell},
    fmt::{self, Write as _},
    mem::size_of,
};

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use super::path::{Segment, show_path};
use crate::{limits::Limits, text::FromText};

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8], limits: &Limits) -> Result<T, String> {
    let state = State {
        path: RefCell::default(),
        memory: Cell::new(limits.decoded),
    };
    let mut inner = serde_json::Deserializer::from_slice(bytes);
    let place = Place {
        state: &state,
        levels: limits.nesting,
        key: None,
        field: None,
    };
    let value = T::deserialize(Guarded {
        inner: &mut inner,
        place,
    })
    .map_err(|error| show_path(&error.to_string(), state.path.take()))?;
    inner
        .end()
        .map_err(|error| format!("something is left over after the value: {error}"))?;
    Ok(value)
}

struct State {
    path: RefCell<Vec<Segment>>,
    memory: Cell<usize>,
}

impl State {
    fn failed_at(&self, segment: Segment) {
        self.path.borrow_mut().push(segment);
    }

    fn charge<T, E: Error>(&self) -> Result<(), E> {
        let left = self.memory.get().checked_sub(size_of::<T>());
        self.memory
            .set(left.ok_or_else(|| E::custom("its elements would take too much memory"))?);
        Ok(())
    }
}

/// Where in the value we are.
struct Place<'s> {
    state: &'s State,
    levels: usize,
    /// This is a key: remember it here.
    key: Option<&'s RefCell<String>>,
    /// This is the value of a field of a struct with these fields.
    field: Option<&'static [&'static str]>,
}

impl<'s> Place<'s> {
    fn deeper<E: Error>(&self) -> Result<Self, E> {
        match self.levels.checked_sub(1) {
            Some(levels) => Ok(Place {
                state: self.state,
                levels,
                key: None,
                field: None,
            }),
            None => Err(E::custom("it nests too deep")),
        }
    }

    /// The place of a variant's fields, which are on the level that their enum has been counted as.
    fn of_variant(self) -> Self {
        Place {
            levels: self.levels + 1,
            ..self
        }
    }

    /// A place on the same level.
    fn beside(&self) -> Self {
        Place {
            state: self.state,
            levels: self.levels,
            key: None,
            field: None,
        }
    }

    fn saw_key(&self, key: fmt::Arguments<'_>) {
        if let Some(slot) = self.key {
            let mut slot = slot.borrow_mut();
            slot.clear();
            let _ = slot.write_fmt(key);
        }
    }
}

struct Guarded<'s, D> {
    inner: D,
    place: Place<'s>,
}

macro_rules! forward {
    ($($method:ident),* $(,)?) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$method(Watching::new(visitor, self.place))
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Guarded<'_, D> {
    type Error = D::Error;

    forward! {
        deserialize_any, deserialize_bool, deserialize_i8, deserialize_i16, deserialize_i32,
        deserialize_i64, deserialize_i128, deserialize_u8, deserialize_u16, deserialize_u32,
        deserialize_u64, deserialize_u128, deserialize_f32, deserialize_f64, deserialize_char,
        deserialize_str, deserialize_string,
        deserialize_option, deserialize_unit, deserialize_seq, deserialize_map,
        deserialize_identifier,
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.deserialize_byte_buf(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = Watching::new(FromText(visitor), self.place);
        self.inner.deserialize_any(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, D::Error> {
        Err(match self.place.field {
            Some([]) => D::Error::custom("unknown field, there are none"),
            Some(fields) => D::Error::custom(format_args!(
                "unknown field, the fields are `{}`",
                fields.join("`, `")
            )),
            None => D::Error::custom("a value that the type has no use for"),
        })
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner
            .deserialize_unit_struct(name, Watching::new(visitor, self.place))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner
            .deserialize_newtype_struct(name, Watching::new(visitor, self.place))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner
            .deserialize_tuple(len, Watching::new(visitor, self.place))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner
            .deserialize_tuple_struct(name, len, Watching::new(visitor, self.place))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let visitor = Watching {
            fields: Some(fields),
            ..Watching::new(visitor, self.place)
        };
        self.inner.deserialize_struct(name, fields, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner
            .deserialize_enum(name, variants, Watching::new(visitor, self.place))
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

struct Watching<'s, V> {
    inner: V,
    place: Place<'s>,
    fields: Option<&'static [&'static str]>,
}

impl<'s, V> Watching<'s, V> {
    fn new(inner: V, place: Place<'s>) -> Self {
        Self {
            inner,
            place,
            fields: None,
        }
    }
}

macro_rules! leaves {
    ($($method:ident($type:ty)),* $(,)?) => {
        $(fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.place.saw_key(format_args!("{value}"));
            self.inner.$method(value)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Watching<'_, V> {
    type Value = V::Value;

    leaves! {
        visit_bool(bool), visit_i8(i8), visit_i16(i16), visit_i32(i32), visit_i64(i64),
        visit_i128(i128), visit_u8(u8), visit_u16(u16), visit_u32(u32), visit_u64(u64),
        visit_u128(u128), visit_f32(f32), visit_f64(f64), visit_char(char), visit_str(&str),
        visit_borrowed_str(&'de str), visit_string(String),
    }

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    fn visit_bytes<E: Error>(self, value: &[u8]) -> Result<V::Value, E> {
        self.inner.visit_bytes(value)
    }

    fn visit_borrowed_bytes<E: Error>(self, value: &'de [u8]) -> Result<V::Value, E> {
        self.inner.visit_borrowed_bytes(value)
    }

    fn visit_byte_buf<E: Error>(self, value: Vec<u8>) -> Result<V::Value, E> {
        self.inner.visit_byte_buf(value)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let place = self.place.deeper()?;
        self.inner.visit_some(Guarded { inner, place })
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        // A newtype as a key is still the key.
        let place = Place {
            key: self.place.key,
            ..self.place.deeper()?
        };
        self.inner.visit_newtype_struct(Guarded { inner, place })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let place = self.place.deeper()?;
        self.inner.visit_seq(Elements {
            inner,
            place,
            index: 0,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let place = self.place.deeper()?;
        let key = RefCell::default();
        self.inner.visit_map(Entries {
            inner,
            place,
            key,
            fields: self.fields,
        })
    }

    fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let place = self.place.deeper()?;
        self.inner.visit_enum(Variant {
            inner,
            place,
            name: String::new(),
        })
    }
}

struct Elements<'s, A> {
    inner: A,
    place: Place<'s>,
    index: usize,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Elements<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.place.state.charge::<S::Value, A::Error>()?;
        let (index, state) = (self.index, self.place.state);
        self.index += 1;
        self.inner
            .next_element_seed(Seed {
                seed,
                place: self.place.beside(),
            })
            .inspect_err(|_| state.failed_at(Segment::Index(index)))
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

struct Entries<'s, A> {
    inner: A,
    place: Place<'s>,
    key: RefCell<String>,
    fields: Option<&'static [&'static str]>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Entries<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        if self.fields.is_none() {
            self.place.state.charge::<S::Value, A::Error>()?;
        }
        let place = Place {
            key: Some(&self.key),
            ..self.place.beside()
        };
        self.inner.next_key_seed(Seed { seed, place })
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        if self.fields.is_none() {
            self.place.state.charge::<S::Value, A::Error>()?;
        }
        let place = Place {
            field: self.fields,
            ..self.place.beside()
        };
        self.inner
            .next_value_seed(Seed { seed, place })
            .inspect_err(|_| {
                self.place
                    .state
                    .failed_at(Segment::Name(self.key.borrow().as_str().into()));
            })
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

struct Variant<'s, A> {
    inner: A,
    place: Place<'s>,
    name: String,
}

impl<'de, 's, A: EnumAccess<'de>> EnumAccess<'de> for Variant<'s, A> {
    type Error = A::Error;
    type Variant = Variant<'s, A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let name = RefCell::new(self.name);
        let place = Place {
            key: Some(&name),
            ..self.place.beside()
        };
        let (value, inner) = self.inner.variant_seed(Seed { seed, place })?;
        Ok((
            value,
            Variant {
                inner,
                place: self.place,
                name: name.into_inner(),
            },
        ))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Variant<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let (name, state) = (self.name, self.place.state);
        self.inner
            .newtype_variant_seed(Seed {
                seed,
                place: self.place,
            })
            .inspect_err(|_| state.failed_at(Segment::Name(name.into())))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        let (name, state) = (self.name, self.place.state);
        self.inner
            .tuple_variant(len, Watching::new(visitor, self.place.of_variant()))
            .inspect_err(|_| state.failed_at(Segment::Name(name.into())))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let (name, state) = (self.name, self.place.state);
        let place = self.place.of_variant();
        let visitor = Watching {
            fields: Some(fields),
            ..Watching::new(visitor, place)
        };
        self.inner
            .struct_variant(fields, visitor)
            .inspect_err(|_| state.failed_at(Segment::Name(name.into())))
    }
}

struct Seed<'s, S> {
    seed: S,
    place: Place<'s>,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Seed<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.seed.deserialize(Guarded {
            inner,
            place: self.place,
        })
    }
}
