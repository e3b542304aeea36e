//! The block as it is, and beside it the impls that make it a component.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Generics, Signature, Type, parse_quote, spanned::Spanned};

use super::model::{Component, Hook};
use crate::diag::at;
use crate::handler::{
    expand::return_span,
    expect::duration,
    model::{Handler, context_arguments},
    stream::{Taken, taken},
};

pub(crate) fn expand(component: &Component) -> TokenStream {
    let item = &component.item;
    let generics = with_static(&item.generics);
    let (impl_generics, _, where_clause) = generics.split_for_impl();
    let state = &item.self_ty;
    let groups = &component.groups.0;
    let routes = component.handlers.iter().map(|handler| {
        let expected = expected(component, handler);
        // What expects something is what was added last.
        route(handler).map(|route| quote!(#route #expected))
    });
    let on_start = component.on_start.first().map(on_start);
    let on_restart = component.on_restart.first().map(on_restart);
    let on_stop = component.on_stop.first().map(on_stop);
    let handlers = component
        .handlers
        .iter()
        .filter_map(|handler| handler_impl(&generics, state, handler));
    quote! {
        #item
        #[automatically_derived]
        impl #impl_generics ::botzilla::Component for #state #where_clause {
            const GROUPS: &'static [&'static str] = &[#(#groups),*];
            fn routes(routes: &mut ::botzilla::Routes<Self>) {
                #(#routes)*
            }
            #on_start
            #on_restart
            #on_stop
        }
        #(#handlers)*
    }
}

/// What the impls hold for: a component is `'static`, so its parameters are too.
pub(super) fn with_static(generics: &Generics) -> Generics {
    let mut generics = generics.clone();
    for param in generics.type_params_mut() {
        param.bounds.push(parse_quote!('static));
    }
    generics
}

/// The statement that lists a handler.
fn route(handler: &Handler) -> Option<TokenStream> {
    if let Some(item) = handler.item() {
        return Some(stream_route(handler, item));
    }
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

/// The statement that says what the handler that was listed last expects.
fn expected(component: &Component, handler: &Handler) -> Option<TokenStream> {
    let every = handler.options.expect_every.as_ref()?.1.as_ref()?;
    let missed = handler.options.missed.as_ref()?.1.as_ref()?;
    let nanos = duration(&every.value()).ok()?;
    let cfgs = &handler.cfgs;
    let sig = component.sig(missed);
    let (context, name) = match sig {
        Some(sig) if sig.inputs.len() > 1 => (Some(quote!(, ctx)), quote!(ctx)),
        _ => (None, quote!(_ctx)),
    };
    // Where there is no such method, it is said of the name that was given.
    let call = quote_spanned!(missed.span()=> Self::#missed(state #context));
    let every = quote!(::core::time::Duration::from_nanos(#nanos));
    Some(if sig.is_some_and(|sig| sig.asyncness.is_some()) {
        quote! {
            #(#cfgs)*
            routes.expect_every_async(#every, |state, #name| {
                ::std::boxed::Box::pin(async move { #call.await })
            });
        }
    } else {
        quote! {
            #(#cfgs)*
            routes.expect_every(#every, |state, #name| #call);
        }
    })
}

/// The statement that lists a handler of a stream.
fn stream_route(handler: &Handler, item: &Type) -> TokenStream {
    let (item, taken) = taken(item);
    let (cfgs, stream) = (&handler.cfgs, &handler.options.stream);
    let options = handler.options.expand_stream();
    let (context, name) = if handler.contexts.is_empty() {
        (None, quote!(_ctx))
    } else {
        (Some(quote!(, ctx)), quote!(ctx))
    };
    // Where the item's type isn't data, or can't be cloned, all that says so points at it.
    let span = at(item.span());
    let (function, argument) = (&handler.sig.ident, taken.argument(span));
    let call = quote_spanned!(span=> Self::#function(state, #argument #context));
    let add = match (handler.is_async(), matches!(taken, Taken::Result)) {
        (true, true) => quote!(add_stream_hearing_async),
        (false, true) => quote!(add_stream_hearing),
        (true, false) => quote!(add_stream_async),
        (false, false) => quote!(add_stream),
    };
    if handler.is_async() {
        quote_spanned! {span=>
            #(#cfgs)*
            routes.#add::<#item>(#stream, #options, |state, item, #name| {
                ::std::boxed::Box::pin(async move { #call.await })
            });
        }
    } else {
        quote_spanned! {span=>
            #(#cfgs)*
            routes.#add::<#item>(#stream, #options, |state, item, #name| #call);
        }
    }
}

/// The impl of a handler with `self`.
fn handler_impl(generics: &Generics, state: &Type, handler: &Handler) -> Option<TokenStream> {
    let message = handler.message()?;
    handler.receiver.as_ref()?;
    let (impl_generics, _, where_clause) = generics.split_for_impl();
    let cfgs = &handler.cfgs;
    let (reply, ctx) = reply(handler, message, &quote!(self, msg), &quote!(ctx));
    // Where the message's type isn't a message, all that says so points at it.
    let span = at(message.span());
    let answer =
        quote_spanned!(span=> ::botzilla::Answer<<#message as ::botzilla::Message>::Reply>);
    let method = if handler.is_async() {
        quote_spanned! {span=>
            async fn handle(&mut self, msg: #message, #ctx: &::botzilla::Ctx<Self>) -> #answer {
                #reply
            }
        }
    } else {
        quote_spanned! {span=>
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
    Some(quote_spanned! {span=>
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
    let span = return_span(&handler.sig);
    let call = quote_spanned!(span=> Self::#function(#arguments #context));
    let call = awaited(&handler.sig, span, call);
    let reply = quote_spanned!(span=> ::botzilla::__private::answer::<#message>(#call));
    (reply, name)
}

fn on_start(hook: &Hook) -> TokenStream {
    let cfgs = &hook.cfgs;
    let (call, ctx) = hook_call(hook);
    let started = quote_spanned!(return_span(&hook.sig)=> ::botzilla::__private::started(#call));
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

fn on_restart(hook: &Hook) -> TokenStream {
    let cfgs = &hook.cfgs;
    let function = &hook.sig.ident;
    let span = return_span(&hook.sig);
    let (mut arguments, mut reason, mut ctx) = (TokenStream::new(), quote!(_reason), quote!(_ctx));
    for param in hook.params() {
        // Where it is of another type than the reason, what says so points at it.
        let span = at(param.ty.span());
        if context_arguments(&param.ty).is_some() {
            ctx = quote!(ctx);
            arguments.extend(quote_spanned!(span=> , ctx));
        } else {
            reason = quote!(reason);
            arguments.extend(quote_spanned!(span=> , reason));
        }
    }
    let call = quote_spanned!(span=> Self::#function(self #arguments));
    let call = awaited(&hook.sig, span, call);
    let started = quote_spanned!(span=> ::botzilla::__private::started(#call));
    quote! {
        #(#cfgs)*
        async fn restarting(
            &mut self,
            #reason: ::botzilla::RestartReason,
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

/// The call of the user's hook, and the name of the context in it.
fn hook_call(hook: &Hook) -> (TokenStream, TokenStream) {
    let function = &hook.sig.ident;
    let (context, name) = if hook.sig.inputs.len() > 1 {
        (Some(quote!(, ctx)), quote!(ctx))
    } else {
        (None, quote!(_ctx))
    };
    let span = return_span(&hook.sig);
    let call = quote_spanned!(span=> Self::#function(self #context));
    (awaited(&hook.sig, span, call), name)
}

fn awaited(sig: &Signature, span: Span, call: TokenStream) -> TokenStream {
    if sig.asyncness.is_some() {
        quote_spanned!(span=> #call.await)
    } else {
        call
    }
}
