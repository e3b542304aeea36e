//! What a handler can't be, one function a rule.

use quote::ToTokens;
use syn::{GenericParam, Safety, Signature, Type};

use super::{
    expect,
    model::{Access, Handler, access, context_arguments, returned},
    stream,
};
use crate::diag::Mistakes;

/// Where a handler stands.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Place {
    /// In an impl under `#[botzilla::component]`.
    Component,
    /// On its own.
    Free,
}

pub(crate) fn check(handler: &Handler, place: Place, mistakes: &mut Mistakes) {
    if place == Place::Free && handler.receiver.is_some() {
        // Whatever else is wrong is said again once it stands where it belongs.
        check_outside(handler, mistakes);
        return;
    }
    check_receiver(handler, mistakes);
    check_message(handler, mistakes);
    check_context(handler, place, mistakes);
    check_options(handler, place, mistakes);
    check_signature(&handler.sig, "handler", mistakes);
    stream::check(handler, place, mistakes);
    expect::check(&handler.options, place, mistakes);
    if handler.options.stream.is_none() {
        check_reply(handler, mistakes);
    }
}

fn check_outside(handler: &Handler, mistakes: &mut Mistakes) {
    mistakes.push(
        &handler.receiver,
        "a handler with `self` stands in an `impl` block under `#[botzilla::component]`; put that \
         above the block (an impl of a trait has no handlers: move it to an impl of its own)",
    );
}

// The state outlives each of its messages.
fn check_receiver(handler: &Handler, mistakes: &mut Mistakes) {
    if let Some(receiver) = &handler.receiver
        && let Access::Owned = access(receiver)
    {
        mistakes.push(
            receiver,
            "a handler borrows the component's state, which has to answer the next message too: \
             write `&mut self` or `&self`",
        );
    }
}

fn check_message(handler: &Handler, mistakes: &mut Mistakes) {
    let state = match &handler.receiver {
        Some(receiver) => format!(
            "{}, ",
            receiver.to_token_stream().to_string().replace("& ", "&")
        ),
        None => String::new(),
    };
    match handler.messages.as_slice() {
        [] => mistakes.push(
            &handler.sig.ident,
            format!(
                "a handler answers a message: write `fn {}({state}msg: SomeMessage)`",
                handler.sig.ident
            ),
        ),
        // An item may be borrowed: it is others' too.
        [message] if handler.options.stream.is_some() => {
            check_one_message(stream::taken(&message.ty).0, mistakes);
        }
        [message] => check_one_message(&message.ty, mistakes),
        [_, more @ ..] => {
            for message in more {
                mistakes.push(
                    message,
                    "a handler takes one message: put both into one message type, or write one \
                     handler each (beside the message it can take `ctx: &Ctx<Self>`)",
                );
            }
        }
    }
}

fn check_one_message(message: &Type, mistakes: &mut Mistakes) {
    match message {
        Type::Reference(reference) => {
            let owned = owned(&reference.elem);
            mistakes.push(
                reference,
                format!("a handler takes its message by value: write `{owned}`"),
            );
        }
        Type::ImplTrait(it) => mistakes.push(
            it,
            "a handler answers one type of message: name it, and write one handler each",
        ),
        Type::Infer(it) => mistakes.push(it, "name the message's type here"),
        _ => {}
    }
}

fn check_context(handler: &Handler, place: Place, mistakes: &mut Mistakes) {
    let usage = match place {
        Place::Component => "ctx: &Ctx<Self>",
        Place::Free => "ctx: &Ctx",
    };
    let Some((context, more)) = handler.contexts.split_first() else {
        return;
    };
    for context in more {
        mistakes.push(context, "a handler has one context; leave one of them");
    }
    let shared = matches!(&*context.ty, Type::Reference(it) if it.mutability.is_none());
    let bare = context_arguments(&context.ty).is_some_and(syn::PathArguments::is_none);
    if !shared || bare != (place == Place::Free) {
        mistakes.push(&context.ty, format!("write the context as `{usage}`"));
    }
    let first = handler.sig.inputs.iter().position(
        |input| matches!(input, syn::FnArg::Typed(param) if context_arguments(&param.ty).is_some()),
    );
    let before = usize::from(handler.receiver.is_some());
    if first == Some(before) && !handler.messages.is_empty() {
        mistakes.push(
            context,
            format!("the message comes first, then `{usage}`: swap the two"),
        );
    }
}

fn check_options(handler: &Handler, place: Place, mistakes: &mut Mistakes) {
    if place == Place::Free {
        for option in &handler.options.flags {
            mistakes.push(
                option,
                format!(
                    "`{option}` is for a component's handlers: move the function into an `impl` \
                     block under `#[botzilla::component]`, or leave `{option}` out"
                ),
            );
        }
    } else if let Some(abort) = handler.options.get("abort")
        && !handler.is_async()
        && handler.options.stream.is_none()
    {
        mistakes.push(
            abort,
            "`abort` drops a handler at its next await, and this one has none: make it `async`, \
             or leave `abort` out",
        );
    }
}

/// What holds for every function that the runtime calls.
pub(crate) fn check_signature(sig: &Signature, what: &str, mistakes: &mut Mistakes) {
    for param in &sig.generics.params {
        if !matches!(param, GenericParam::Lifetime(_)) {
            mistakes.push(
                param,
                format!("a {what} can't be generic: nothing says with which type to call it; write the type out"),
            );
        }
    }
    if let Some(constness) = &sig.constness {
        mistakes.push(constness, format!("a {what} isn't `const`; leave it out"));
    }
    if !matches!(sig.safety, Safety::Default) {
        mistakes.push(
            &sig.safety,
            format!("the runtime calls a {what} safely: leave this out, and keep what is unsafe in a function of its own"),
        );
    }
    if let Some(abi) = &sig.abi {
        mistakes.push(
            abi,
            format!("a {what} is an ordinary function; leave this out"),
        );
    }
}

fn check_reply(handler: &Handler, mistakes: &mut Mistakes) {
    match returned(&handler.sig.output) {
        Some(Type::Reference(reference)) => {
            let owned = owned(&reference.elem);
            mistakes.push(
                reference,
                format!("a reply leaves the component, so it owns what it holds: return `{owned}`"),
            );
        }
        Some(Type::ImplTrait(it)) => mistakes.push(
            it,
            "name the reply's type; for a future write `async fn` and the type it ends with",
        ),
        _ => {}
    }
}

/// How a borrowed type is spelled when it is owned.
fn owned(borrowed: &Type) -> String {
    match borrowed {
        Type::Path(path) if path.path.is_ident("str") => "String".to_owned(),
        Type::Slice(slice) => format!("Vec<{}>", slice.elem.to_token_stream()),
        other => other.to_token_stream().to_string(),
    }
}
