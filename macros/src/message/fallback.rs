//! The message after a mistake: still a message to whoever uses it.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Type};

use super::{args::Args, expand::message_impl};
use crate::data::{
    self,
    model::{Data, Derives},
};

pub(crate) fn fallback(args: &Args, data: &Data) -> TokenStream {
    let stub = data::fallback::fallback(data);
    let reply = args
        .reply
        .clone()
        .filter(|reply| !matches!(reply, Type::Reference(_) | Type::ImplTrait(_)))
        // It may name the parameters, and then more would have to hold.
        .filter(|_| data.input.generics.params.is_empty());
    let args = Args { reply, name: None };
    // With parameters it is data under conditions that the user needn't hear of.
    let mut input: DeriveInput = data.input.clone();
    if !input.generics.params.is_empty() {
        input
            .generics
            .make_where_clause()
            .predicates
            .push(syn::parse_quote!(Self: ::botzilla::Data));
    }
    let has = Derives::default();
    let message = message_impl(&args, &Data { input, has });
    quote!(#stub #message)
}
