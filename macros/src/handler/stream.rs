//! A handler of a stream's items: what it can't be, and how it takes them.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;
use syn::{GenericArgument, Lit, PathArguments, Type};

use super::{
    args::{Options, Setting},
    check::Place,
    model::{Handler, returned},
};
use crate::diag::Mistakes;

/// What the network takes as a name.
const NAME_BYTES: usize = 255;

/// How a handler takes its item.
pub(crate) enum Taken {
    Value,
    Shared,
    Item,
    /// The item, or an error in its place.
    Result,
    /// The value, or the item: the compiler finds out.
    Borrowed,
}

/// The type of the items, and how the handler takes them.
pub(crate) fn taken(param: &Type) -> (&Type, Taken) {
    match param {
        Type::Reference(reference) => match inner(&reference.elem, "Item") {
            Some(ty) => (ty, Taken::Borrowed),
            None => (&reference.elem, Taken::Borrowed),
        },
        _ => match (inner(param, "Item"), inner(param, "Arc"), result(param)) {
            (Some(ty), ..) => (ty, Taken::Item),
            (_, Some(ty), _) => (ty, Taken::Shared),
            (.., Some(ty)) => (ty, Taken::Result),
            (None, None, None) => (param, Taken::Value),
        },
    }
}

impl Taken {
    /// What the handler is called with; what is wrong with it is said at `span`.
    pub(crate) fn argument(&self, span: Span) -> TokenStream {
        match self {
            Self::Value => quote_spanned!(span=> ::botzilla::__private::by_value(item)),
            Self::Shared => quote_spanned!(span=> item.into_shared()),
            Self::Item | Self::Result => quote_spanned!(span=> item),
            Self::Borrowed => quote_spanned!(span=> &item),
        }
    }
}

/// `T` of a `Name<T>`.
fn inner<'a>(ty: &'a Type, name: &str) -> Option<&'a Type> {
    match arguments(ty, name)?.as_slice() {
        [ty] => Some(ty),
        _ => None,
    }
}

/// `T` of a `Result<Item<T>, _>`.
fn result(ty: &Type) -> Option<&Type> {
    match arguments(ty, "Result")?.as_slice() {
        [item, _] => inner(item, "Item"),
        _ => None,
    }
}

/// The arguments of a `Name<..>`, if all of them are types.
fn arguments<'a>(ty: &'a Type, name: &str) -> Option<Vec<&'a Type>> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return None;
    };
    if last.ident != name {
        return None;
    }
    let types = arguments.args.iter().map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    types.collect()
}

/// What a handler with a `stream` can't be.
pub(crate) fn check(handler: &Handler, place: Place, mistakes: &mut Mistakes) {
    let options = &handler.options;
    let Some(stream) = &options.stream else {
        for Setting { key, .. } in &options.settings {
            let text = format!(
                "`{key}` says how a stream is subscribed to: write `stream = \"component/stream\"` \
                 beside it, or leave `{key}` out"
            );
            mistakes.push(key, text);
        }
        return;
    };
    if place == Place::Free {
        mistakes.push(
            stream,
            "a stream's items are turns of a component: move the function into an `impl` block \
             under `#[botzilla::component]`, and give it `&mut self`",
        );
        return;
    }
    if let Err(text) = check_name(&stream.value()) {
        mistakes.push(stream, text);
    }
    for flag in &options.flags {
        let why = match flag.to_string().as_str() {
            "urgent" => "items wait in turn with the messages",
            "broadcast" => "a stream goes to all who subscribe",
            _ => "nobody waits for what becomes of an item",
        };
        mistakes.push(flag, format!("{why}: leave `{flag}` out here"));
    }
    if handler.receiver.is_none() {
        mistakes.push(
            &handler.sig.ident,
            format!(
                "a stream's items are turns of the component: write `fn {}(&mut self, ..)`",
                handler.sig.ident
            ),
        );
    }
    match returned(&handler.sig.output) {
        None => {}
        Some(Type::Tuple(unit)) if unit.elems.is_empty() => {}
        Some(ty) => mistakes.push(
            ty,
            "nobody waits for a stream handler's reply: return nothing, and log what goes wrong",
        ),
    }
    check_settings(options, mistakes);
}

fn check_settings(options: &Options, mistakes: &mut Mistakes) {
    if let Some(latest) = options.setting("latest") {
        for other in ["reliable", "depth"] {
            if let Some(other) = options.setting(other) {
                let key = &other.key;
                let text = format!(
                    "`{}` says it already: the newest so many are kept, the oldest dropped; leave \
                     one of the two",
                    latest.key
                );
                mistakes.push(key, text);
            }
        }
    }
    for Setting { key, value } in &options.settings {
        let is_zero = match value {
            // None are kept then, and that is a wish like any other.
            _ if key == "keep_last" => false,
            Some(Lit::Int(int)) => int.base10_parse::<u64>().is_ok_and(|number| number == 0),
            Some(Lit::Float(float)) => !float
                .base10_parse::<f64>()
                .is_ok_and(|rate| rate.is_finite() && rate > 0.0),
            _ => false,
        };
        if is_zero {
            let text = format!("with this nothing would ever come: `{key}` is more than 0");
            mistakes.push(value, text);
        }
    }
}

/// By the rules of the runtime's own.
fn check_name(text: &str) -> Result<(), String> {
    let (group, rest) = match text.strip_prefix("group:") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let Some((component, stream)) = rest.rsplit_once('/') else {
        return Err(
            "write `component/stream`, or a pattern such as `*/scan` or `group:base/*`".to_owned(),
        );
    };
    let known = |c: char| c.is_ascii_alphanumeric() || "_./-*".contains(c);
    let is_name =
        |name: &str| !name.is_empty() && name.len() <= NAME_BYTES && name.chars().all(known);
    if is_name(component) && is_name(stream) {
        return Ok(());
    }
    let what = if group { "a group" } else { "a component" };
    Err(format!(
        "{what} and a stream are named by 1 to {NAME_BYTES} of the characters `A-Z`, `a-z`, `0-9`, \
         `_`, `.`, `/` and `-`, the stream without `/`; in a pattern also `*`"
    ))
}
