//! The function as it is, and beside it the proof that it is a handler.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use super::model::{Handler, returned};

pub(crate) fn expand(item: &TokenStream, handler: &Handler) -> TokenStream {
    let message = handler.message();
    let cfgs = &handler.cfgs;
    let reply = match returned(&handler.sig.output) {
        Some(reply) => quote!(#reply),
        None => quote_spanned!(at(handler.sig.ident.span())=> ()),
    };
    quote! {
        #item
        #(#cfgs)*
        const _: fn() = ::botzilla::__private::assert_handler::<#message, #reply>;
    }
}

/// A place of the user's, for tokens that are ours: lints know that nobody wrote them.
pub(crate) fn at(span: Span) -> Span {
    Span::call_site().located_at(span)
}

/// Where to complain about what a handler returns.
pub(crate) fn reply_span(handler: &Handler) -> Span {
    at(match returned(&handler.sig.output) {
        Some(reply) => reply.span(),
        None => handler.sig.ident.span(),
    })
}
