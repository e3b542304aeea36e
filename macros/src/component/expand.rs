//! The block as it is, and beside it the impls that make it a component.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::Type;

use super::model::{Component, Hook};
use crate::handler::{
    expand::{at, reply_span},
    model::{Handler, returned},
};

pub(crate) fn expand(component: &Component) -> TokenStream {
    let item = &component.item;
    let (impl_generics, _, where_clause) = item.generics.split_for_impl();
    let state = &item.self_ty;
    let groups = &component.groups.0;
    let routes = component.handlers.iter().filter_map(route);
    let on_start = component.on_start.first().map(on_start);
    let on_stop = component.on_stop.first().map(on_stop);
    let handlers = component
        .handlers
        .iter()
        .filter_map(|handler| handler_impl(component, handler));
    quote! {
        #item
        #[automatically_derived]
        impl #impl_generics ::botzilla::Component for #state #where_clause {
            const GROUPS: &'static [&'static str] = &[#(#groups),*];
            fn routes(routes: &mut ::botzilla::Routes<Self>) {
                #(#routes)*
            }
            #on_start
            #on_stop
        }
        #(#handlers)*
    }
}

/// The statement that lists a handler.
fn route(handler: &Handler) -> Option<TokenStream> {
    let message = handler.message()?;
    let cfgs = &handler.cfgs;
    let options = handler.options.expand();
    if handler.receiver.is_some() {
        return Some(quote!(#(#cfgs)* routes.add::<#message>(#options);));
    }
    let (reply, ctx) = reply(handler, message, &quote!(msg), &quote!(&ctx));
    Some(quote! {
        #(#cfgs)*
        routes.add_function::<#message, _, _>(#options, |msg, #ctx| async move { #reply });
    })
}

/// The impl of a handler with `self`.
pub(super) fn handler_impl(component: &Component, handler: &Handler) -> Option<TokenStream> {
    let message = handler.message()?;
    handler.receiver.as_ref()?;
    let (impl_generics, _, where_clause) = component.item.generics.split_for_impl();
    let state = &component.item.self_ty;
    let cfgs = &handler.cfgs;
    let (reply, ctx) = reply(handler, message, &quote!(self, msg), &quote!(ctx));
    let answer = quote!(::botzilla::Answer<<#message as ::botzilla::Message>::Reply>);
    let method = if handler.is_async() {
        quote! {
            async fn handle(&mut self, msg: #message, #ctx: &::botzilla::Ctx<Self>) -> #answer {
                #reply
            }
        }
    } else {
        quote! {
            const IN_PLACE: bool = true;
            fn handle(
                &mut self,
                msg: #message,
                #ctx: &::botzilla::Ctx<Self>,
            ) -> impl ::core::future::Future<Output = #answer> {
                ::core::future::ready(#reply)
            }
        }
    };
    Some(quote! {
        #(#cfgs)*
        #[automatically_derived]
        impl #impl_generics ::botzilla::Handler<#message> for #state #where_clause {
            #method
        }
    })
}

/// The call of the user's function, as an answer, and the name of the context in it.
fn reply(
    handler: &Handler,
    message: &Type,
    arguments: &TokenStream,
    context: &TokenStream,
) -> (TokenStream, TokenStream) {
    let function = &handler.sig.ident;
    let (context, name) = if handler.contexts.is_empty() {
        (None, quote!(_ctx))
    } else {
        (Some(quote!(, #context)), quote!(ctx))
    };
    let call = awaited(
        handler.is_async(),
        quote!(Self::#function(#arguments #context)),
    );
    let reply = quote_spanned! {reply_span(handler)=>
        ::botzilla::__private::answer::<#message>(#call)
    };
    (reply, name)
}

fn on_start(hook: &Hook) -> TokenStream {
    let cfgs = &hook.cfgs;
    let (call, ctx) = hook_call(hook);
    let span = at(returned(&hook.sig.output)
        .map_or_else(|| hook.sig.ident.span(), syn::spanned::Spanned::span));
    let started = quote_spanned!(span=> ::botzilla::__private::started(#call));
    quote! {
        #(#cfgs)*
        async fn on_start(
            &mut self,
            #ctx: &::botzilla::Ctx<Self>,
        ) -> ::core::result::Result<(), ::botzilla::__private::HookError> {
            #started
        }
    }
}

fn on_stop(hook: &Hook) -> TokenStream {
    let cfgs = &hook.cfgs;
    let (call, ctx) = hook_call(hook);
    quote! {
        #(#cfgs)*
        async fn on_stop(&mut self, #ctx: &::botzilla::Ctx<Self>) {
            #call
        }
    }
}

fn hook_call(hook: &Hook) -> (TokenStream, TokenStream) {
    let function = &hook.sig.ident;
    let is_async = hook.sig.asyncness.is_some();
    if hook.sig.inputs.len() > 1 {
        (
            awaited(is_async, quote!(Self::#function(self, ctx))),
            quote!(ctx),
        )
    } else {
        (
            awaited(is_async, quote!(Self::#function(self))),
            quote!(_ctx),
        )
    }
}

fn awaited(is_async: bool, call: TokenStream) -> TokenStream {
    if is_async { quote!(#call.await) } else { call }
}
