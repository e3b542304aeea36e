//! The function as it is, and beside it the proof that it is a handler.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Signature, spanned::Spanned};

use super::model::{Handler, returned};
use crate::diag::at;

pub(crate) fn expand(item: &TokenStream, handler: &Handler) -> TokenStream {
    let message = handler.message();
    let cfgs = &handler.cfgs;
    let reply = match returned(&handler.sig.output) {
        Some(reply) => quote!(#reply),
        None => quote_spanned!(at(handler.sig.ident.span())=> ()),
    };
    let span = at(message.span());
    let check = quote_spanned!(span=> ::botzilla::__private::assert_handler::<#message, #reply>);
    // In an `impl` block the compiler takes no such item, and names the macro that it came from:
    // hence the macro's name.
    let allowed = allowed();
    quote! {
        #allowed
        #item
        #(#cfgs)*
        ::botzilla::__private::put_component_above_the_impl_of_a_handler!(#check);
    }
}

/// What lints have to forgive a handler: its message is given by value, and the message says what
/// the reply is, however little the function makes of them.
pub(crate) fn allowed() -> TokenStream {
    quote!(#[allow(clippy::needless_pass_by_value, clippy::unnecessary_wraps)])
}

/// Where to complain about what a function returns.
pub(crate) fn return_span(sig: &Signature) -> Span {
    at(returned(&sig.output).map_or_else(|| sig.ident.span(), Spanned::span))
}
