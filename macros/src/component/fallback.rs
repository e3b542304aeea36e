//! The block after a mistake: its type is still a component with the handlers that could be read,
//! so that the mistake is all that the compiler reports.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{GenericParam, Generics, Lifetime, Type, visit_mut::VisitMut};

use super::{expand::with_static, model::Component};

pub(crate) fn fallback(component: &Component) -> TokenStream {
    let item = &component.item;
    if item.trait_.is_some() {
        // The type has an impl of its own as a rule, and that makes it a component.
        return quote!(#item);
    }
    let generics = with_static(&without_lifetimes(&item.generics));
    let (impl_generics, _, where_clause) = generics.split_for_impl();
    let mut state = item.self_ty.clone();
    ToStatic.visit_type_mut(&mut state);
    let handlers = messages(component).into_iter().map(|message| {
        quote! {
            #[automatically_derived]
            impl #impl_generics ::botzilla::Handler<#message> for #state #where_clause {
                async fn handle(
                    &mut self,
                    _: #message,
                    _: &::botzilla::Ctx<Self>,
                ) -> ::botzilla::Answer<<#message as ::botzilla::Message>::Reply> {
                    ::core::panic!()
                }
            }
        }
    });
    quote! {
        #item
        #[automatically_derived]
        impl #impl_generics ::botzilla::Component for #state #where_clause {
            fn routes(_: &mut ::botzilla::Routes<Self>) {}
        }
        #(#handlers)*
    }
}

/// The types of message that can be told, each once.
fn messages(component: &Component) -> Vec<Type> {
    let mut found: Vec<Type> = Vec::new();
    for handler in &component.handlers {
        let Some(message) = handler.message() else {
            continue;
        };
        let message = match message {
            Type::Reference(reference) => &*reference.elem,
            message => message,
        };
        if handler.receiver.is_none() || !handler.cfgs.is_empty() || !is_plain(message) {
            continue;
        }
        let text = quote!(#message).to_string();
        if !found.iter().any(|other| quote!(#other).to_string() == text) {
            found.push(message.clone());
        }
    }
    found
}

/// Whether a type is a path without arguments: what else there is can hold mistakes of its own.
fn is_plain(ty: &Type) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.iter().all(|it| it.arguments.is_none()))
}

fn without_lifetimes(generics: &Generics) -> Generics {
    let mut generics = generics.clone();
    generics.params = std::mem::take(&mut generics.params)
        .into_iter()
        .filter(|param| !matches!(param, GenericParam::Lifetime(_)))
        .collect();
    generics
}

struct ToStatic;

impl VisitMut for ToStatic {
    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        lifetime.ident = syn::Ident::new("static", lifetime.ident.span());
    }
}
