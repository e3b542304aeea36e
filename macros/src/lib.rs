//! The attribute macros of botzilla, reached as `botzilla::data`, `botzilla::message` and so on.
//!
//! Each macro is a pipeline of plain functions over token streams: arguments and item are parsed
//! into a model that keeps the user's own tokens, the model is checked, and then it is expanded;
//! with any mistake found, the fallback is expanded instead, beside all the mistakes at once.
//! Nothing here holds logic that runs: generated code calls ordinary functions of the runtime.
#![expect(
    missing_docs,
    reason = "documented where the runtime re-exports them, so that the examples compile"
)]

mod args;
mod data;
mod diag;
mod message;

use proc_macro::TokenStream;

#[proc_macro_attribute]
pub fn data(args: TokenStream, item: TokenStream) -> TokenStream {
    data::data(&args.into(), &item.into()).into()
}

#[proc_macro_attribute]
pub fn message(args: TokenStream, item: TokenStream) -> TokenStream {
    message::message(args.into(), &item.into()).into()
}
