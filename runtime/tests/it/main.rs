//! Behaviour through the public surface.
#![expect(missing_docs, reason = "test code")]

mod local;
mod tidy;
mod ui;
