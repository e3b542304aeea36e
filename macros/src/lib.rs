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
mod component;
mod data;
mod diag;
mod handler;
mod message;
mod program;

use proc_macro::TokenStream;

#[proc_macro_attribute]
pub fn data(args: TokenStream, item: TokenStream) -> TokenStream {
    data::data(&args.into(), &item.into()).into()
}

#[proc_macro_attribute]
pub fn message(args: TokenStream, item: TokenStream) -> TokenStream {
    message::message(args.into(), &item.into()).into()
}

#[proc_macro_attribute]
pub fn component(args: TokenStream, item: TokenStream) -> TokenStream {
    component::component(args.into(), &item.into()).into()
}

#[proc_macro_attribute]
pub fn handler(args: TokenStream, item: TokenStream) -> TokenStream {
    handler::handler(args.into(), &item.into()).into()
}

#[proc_macro_attribute]
pub fn on_start(_: TokenStream, item: TokenStream) -> TokenStream {
    component::stray_hook("on_start", &item.into()).into()
}

#[proc_macro_attribute]
pub fn on_restart(_: TokenStream, item: TokenStream) -> TokenStream {
    component::stray_hook("on_restart", &item.into()).into()
}

#[proc_macro_attribute]
pub fn on_stop(_: TokenStream, item: TokenStream) -> TokenStream {
    component::stray_hook("on_stop", &item.into()).into()
}

#[proc_macro_attribute]
pub fn main(args: TokenStream, item: TokenStream) -> TokenStream {
    program::main(&args.into(), &item.into()).into()
}
