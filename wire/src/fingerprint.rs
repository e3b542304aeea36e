//! What bincode leaves unsaid about a message, as a text that both sides can compare.
//!
//! bincode writes values one after the other, without names or types, so two sides that disagree
//! about a field would misread each other. A [`Layout`] is everything that matters to bincode and
//! to people: names of fields and variants in their order, widths of integers, nesting; but no
//! docs and no type names. Its [`Fingerprint`] travels with each route; where it differs, the
//! receiver answers with its text and the sender says what differs.

mod compare;
mod graph;
mod parse;
mod recorder;
mod samples;
mod trace;

use std::{any::type_name, fmt};

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use thiserror::Error;

use self::trace::Tracer;

/// The first 8 bytes of the SHA-256 of a [`Layout`]'s text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 8]);

impl Fingerprint {
    /// The fingerprint of a layout's text.
    pub fn of(text: &str) -> Self {
        let hash: [u8; 32] = Sha256::digest(text).into();
        let mut first = [0; 8];
        first.copy_from_slice(&hash[..8]);
        Self(first)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a type has no layout: it travels as JSON only.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{name}` can't travel as bincode, only as JSON: {reason}")]
pub struct Untraceable {
    name: &'static str,
    reason: String,
}

/// How a message and its reply are laid out. The text's grammar is in PROTOCOL.md.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    text: String,
}

impl Layout {
    /// Traces the message `M` and its reply `R`. It takes some tens of microseconds: keep the result.
    ///
    /// # Errors
    ///
    /// If a type can't be traced: it asks the format what comes next, or rejects every value that
    /// was tried on it.
    pub fn of<M: DeserializeOwned, R: DeserializeOwned>() -> Result<Self, Untraceable> {
        let mut tracer = Tracer::new();
        let message = tracer.root::<M>().map_err(|reason| Untraceable {
            name: type_name::<M>(),
            reason,
        })?;
        let reply = tracer.root::<R>().map_err(|reason| Untraceable {
            name: type_name::<R>(),
            reason,
        })?;
        Ok(Self {
            text: tracer.graph().text(message, reply),
        })
    }

    /// What travels with a bincode message.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.text)
    }

    /// The layout as text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first thing in which two layout texts differ, in words, where `ours` is "here" and
    /// `theirs` is "there". `None` if they are equal.
    pub fn first_difference(ours: &str, theirs: &str) -> Option<String> {
        compare::first_difference(ours, theirs)
    }
}

#[cfg(test)]
mod tests;
