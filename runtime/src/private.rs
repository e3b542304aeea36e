//! What generated code names, and nobody else: it may change in any release.

use std::marker::PhantomData;

use crate::Data;

pub use schemars;
pub use serde;

/// The derives of data. When a type has one of them twice, the compiler shows this path beside the
/// error, so it is named after the remedy.
pub mod move_your_derive_below_the_attribute {
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};
}

/// Compiles for a reply that can travel.
#[derive(Debug)]
pub struct Travels<R: Data>(PhantomData<R>);
