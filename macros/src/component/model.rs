//! A component's impl block, as the user wrote it.

use proc_macro2::{Ident, TokenStream};
use syn::{
    Attribute, FnArg, ImplItem, ImplItemFn, ItemImpl, Meta, PatType, Signature, parse_quote,
};

use super::args::Groups;
use crate::{
    diag::Mistakes,
    handler::{
        args::{self, Options},
        expand::allowed,
        model::{self, Handler},
    },
};

pub(crate) struct Component {
    /// The block without our attributes inside.
    pub(crate) item: ItemImpl,
    pub(crate) groups: Groups,
    pub(crate) handlers: Vec<Handler>,
    pub(crate) on_start: Vec<Hook>,
    pub(crate) on_restart: Vec<Hook>,
    pub(crate) on_stop: Vec<Hook>,
    /// Of all functions in the block.
    pub(crate) sigs: Vec<Signature>,
}

/// A method that runs before the first message, after a restart, or after the last message.
pub(crate) struct Hook {
    pub(crate) sig: Signature,
    pub(crate) cfgs: Vec<Attribute>,
}

impl Hook {
    /// What it takes beside the state.
    pub(crate) fn params(&self) -> impl Iterator<Item = &PatType> {
        self.sig.inputs.iter().filter_map(|input| match input {
            FnArg::Typed(param) => Some(param),
            FnArg::Receiver(_) => None,
        })
    }
}

/// What a function in the block is marked as.
#[derive(Clone, Copy, PartialEq)]
enum Mark {
    Handler,
    OnStart,
    OnRestart,
    OnStop,
}

/// Reads the block; `None`, with the mistake noted, if it isn't one.
pub(crate) fn parse(
    groups: Groups,
    item: &TokenStream,
    mistakes: &mut Mistakes,
) -> Option<Component> {
    let Ok(item) = syn::parse2::<ItemImpl>(item.clone()) else {
        // The compiler reports what isn't Rust at all; then ours would only be noise.
        if syn::parse2::<syn::Item>(item.clone()).is_ok() {
            mistakes.push(
                item,
                "`component` goes on the `impl` block that holds the handlers, not here",
            );
        }
        return None;
    };
    let mut component = Component {
        item,
        groups,
        handlers: Vec::new(),
        on_start: Vec::new(),
        on_restart: Vec::new(),
        on_stop: Vec::new(),
        sigs: Vec::new(),
    };
    let mut items = std::mem::take(&mut component.item.items);
    for item in &mut items {
        if let ImplItem::Fn(function) = item {
            component.read(function, mistakes);
        }
    }
    component.item.items = items;
    Some(component)
}

impl Component {
    /// A function of the block.
    pub(crate) fn sig(&self, name: &Ident) -> Option<&Signature> {
        self.sigs.iter().find(|sig| sig.ident == *name)
    }

    fn read(&mut self, function: &mut ImplItemFn, mistakes: &mut Mistakes) {
        self.sigs.push(function.sig.clone());
        let marks: Vec<_> = function
            .attrs
            .extract_if(.., |it| mark(it).is_some())
            .collect();
        let Some((first, more)) = marks.split_first() else {
            return;
        };
        for extra in more {
            mistakes.push(
                extra,
                "a function is a handler or a hook, once; leave one of its attributes",
            );
        }
        let cfgs = model::cfgs(&function.attrs);
        let sig = function.sig.clone();
        match mark(first) {
            Some(Mark::Handler) => {
                let options = options(first, mistakes);
                let allowed = allowed();
                function.attrs.push(parse_quote!(#allowed));
                self.handlers.push(model::read(&sig, options, cfgs));
            }
            Some(Mark::OnStart) => {
                no_arguments("on_start", first, mistakes);
                self.on_start.push(Hook { sig, cfgs });
            }
            Some(Mark::OnRestart) => {
                no_arguments("on_restart", first, mistakes);
                self.on_restart.push(Hook { sig, cfgs });
            }
            Some(Mark::OnStop) => {
                no_arguments("on_stop", first, mistakes);
                self.on_stop.push(Hook { sig, cfgs });
            }
            None => {}
        }
    }
}

/// What an attribute marks its function as: `#[handler]`, or the same through a path.
fn mark(attribute: &Attribute) -> Option<Mark> {
    let segments = &attribute.path().segments;
    if segments.len() > 1 && segments.first().is_none_or(|it| it.ident != "botzilla") {
        return None;
    }
    match segments.last()?.ident.to_string().as_str() {
        "handler" => Some(Mark::Handler),
        "on_start" => Some(Mark::OnStart),
        "on_restart" => Some(Mark::OnRestart),
        "on_stop" => Some(Mark::OnStop),
        _ => None,
    }
}

fn options(attribute: &Attribute, mistakes: &mut Mistakes) -> Options {
    match &attribute.meta {
        Meta::Path(_) => Options::default(),
        Meta::List(list) => args::parse(list.tokens.clone(), mistakes),
        Meta::NameValue(_) => {
            mistakes.push(attribute, "write its options as `handler(urgent)`");
            Options::default()
        }
    }
}

fn no_arguments(name: &str, attribute: &Attribute, mistakes: &mut Mistakes) {
    if !matches!(attribute.meta, Meta::Path(_)) {
        mistakes.push(
            attribute,
            format!("`{name}` has no arguments; leave them out"),
        );
    }
}
