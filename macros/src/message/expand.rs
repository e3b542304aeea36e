//! The message's impl, beside what makes it data.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Type, ext::IdentExt, spanned::Spanned};

use super::args::Args;
use crate::{
    data::{self, model::Data},
    diag::at,
};

pub(crate) fn expand(args: &Args, data: &Data) -> TokenStream {
    let item = data::expand::expand(data);
    let message = message_impl(args, data);
    // In front of the impl, where the compiler asks for each of serde's traits and names no remedy.
    let check = args.reply.as_ref().map(|reply| {
        quote_spanned! {at(reply.span())=>
            const _: ::core::option::Option<::botzilla::__private::Travels<#reply>> =
                ::core::option::Option::None;
        }
    });
    quote!(#item #check #message)
}

pub(super) fn message_impl(args: &Args, data: &Data) -> TokenStream {
    let ident = &data.input.ident;
    let name = match &args.name {
        Some(name) => name.value(),
        None => ident.unraw().to_string(),
    };
    let reply = match &args.reply {
        Some(reply) => quote!(#reply),
        None => quote!(()),
    };
    let fallible = args.reply.as_ref().is_some_and(is_result);
    let (impl_generics, type_generics, where_clause) = data.input.generics.split_for_impl();
    quote! {
        // Or the compiler lists it wherever some other type isn't a message.
        #[diagnostic::do_not_recommend]
        #[automatically_derived]
        impl #impl_generics ::botzilla::Message for #ident #type_generics #where_clause {
            const NAME: &'static str = #name;
            const FALLIBLE: bool = #fallible;
            type Reply = #reply;
        }
    }
}

fn is_result(reply: &Type) -> bool {
    match reply {
        Type::Path(path) => path
            .path
            .segments
            .last()
            .is_some_and(|last| last.ident == "Result"),
        Type::Group(group) => is_result(&group.elem),
        Type::Paren(paren) => is_result(&paren.elem),
        _ => false,
    }
}
