//! What a component can't be, one function a rule.

use quote::ToTokens;
use syn::{
    FnArg, Lifetime, PathArguments, Signature, Type,
    visit::{self, Visit},
};

use super::model::{Component, Hook};
use crate::{
    diag::Mistakes,
    handler::{
        check::{self, Place},
        model::{self, Access, Handler, access, context_arguments},
    },
};

/// What a hook is called, and what it may take.
struct Kind {
    name: &'static str,
    takes: &'static str,
    reason: bool,
}

const NOTHING: &str = "nothing beside its state, or `ctx: &Ctx<Self>`";
const ON_START: Kind = Kind {
    name: "on_start",
    takes: NOTHING,
    reason: false,
};
const ON_RESTART: Kind = Kind {
    name: "on_restart",
    takes: "beside its state nothing, or `reason: RestartReason`, or `ctx: &Ctx<Self>`, or both in this order",
    reason: true,
};
const MISSED: Kind = Kind {
    name: "missed",
    takes: NOTHING,
    reason: false,
};
const ON_STOP: Kind = Kind {
    name: "on_stop",
    takes: NOTHING,
    reason: false,
};

/// What the network takes as a name.
const MAX_NAME_BYTES: usize = 255;

pub(crate) fn check(component: &Component, mistakes: &mut Mistakes) {
    check_trait(component, mistakes);
    check_state(component, mistakes);
    check_groups(component, mistakes);
    for handler in &component.handlers {
        check::check(handler, Place::Component, mistakes);
    }
    check_two_for_one(component, mistakes);
    check_hooks(&ON_START, &component.on_start, mistakes);
    check_hooks(&ON_RESTART, &component.on_restart, mistakes);
    check_hooks(&ON_STOP, &component.on_stop, mistakes);
    check_stop_replies(component, mistakes);
    check_missed(component, mistakes);
}

fn check_trait(component: &Component, mistakes: &mut Mistakes) {
    if let Some((path, _)) = &component.item.trait_ {
        let state = component.item.self_ty.to_token_stream();
        mistakes.push(
            path,
            format!(
                "a component's handlers are its own functions, not those of a trait: move them to \
                 an `impl {state}` block, under `#[botzilla::component]`"
            ),
        );
    }
}

// The state lives as long as its actor, and nobody knows how long that is.
fn check_state(component: &Component, mistakes: &mut Mistakes) {
    let remedy = "a component's state owns what it holds, or shares it: write `String` for `&str`, \
                  `Arc<T>` for `&T`, and no lifetime here";
    let mut lifetimes = Lifetimes(Vec::new());
    lifetimes.visit_type(&component.item.self_ty);
    match lifetimes.0.first() {
        Some(lifetime) => mistakes.push(lifetime, remedy),
        None => {
            if let Type::Reference(reference) = &*component.item.self_ty {
                mistakes.push(reference, remedy);
            }
        }
    }
}

struct Lifetimes(Vec<Lifetime>);

impl<'ast> Visit<'ast> for Lifetimes {
    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        if lifetime.ident != "static" {
            self.0.push(lifetime.clone());
        }
        visit::visit_lifetime(self, lifetime);
    }
}

fn check_groups(component: &Component, mistakes: &mut Mistakes) {
    let mut seen = Vec::new();
    for group in &component.groups.0 {
        let name = group.value();
        let known = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
        if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.chars().all(known) {
            mistakes.push(
                group,
                format!(
                    "a group's name is 1 to {MAX_NAME_BYTES} of the characters `A-Z`, `a-z`, \
                     `0-9`, `_`, `.`, `/` and `-`"
                ),
            );
        } else if seen.contains(&name) {
            mistakes.push(group, format!("`{name}` is given twice; leave one of them"));
        }
        seen.push(name);
    }
}

// Found here only if both are spelled alike; else the compiler finds two impls.
fn check_two_for_one(component: &Component, mistakes: &mut Mistakes) {
    let mut seen: Vec<(&Handler, String)> = Vec::new();
    for handler in &component.handlers {
        let Some(message) = handler.message() else {
            continue;
        };
        let spelled = message.to_token_stream().to_string();
        let first = seen.iter().find(|(other, text)| {
            // Under conditions they may exclude one another.
            *text == spelled && (other.cfgs.is_empty() || handler.cfgs.is_empty())
        });
        if let Some((first, _)) = first {
            mistakes.push(
                message,
                format!(
                    "`{}` answers `{spelled}` already, and a message has one handler: leave one, \
                     or give this one a message type of its own",
                    first.sig.ident
                ),
            );
        }
        seen.push((handler, spelled));
    }
}

fn check_hooks(kind: &Kind, hooks: &[Hook], mistakes: &mut Mistakes) {
    for hook in hooks.iter().skip(1) {
        mistakes.push(
            &hook.sig.ident,
            format!(
                "a component has one `{}` hook: call this function from the other",
                kind.name
            ),
        );
    }
    for hook in hooks {
        check_hook(kind, hook, mistakes);
    }
}

fn check_hook(kind: &Kind, hook: &Hook, mistakes: &mut Mistakes) {
    check::check_signature(&hook.sig, "hook", mistakes);
    let what = format!("an `{}` hook", kind.name);
    check_parameters(&what, kind, &hook.sig, mistakes);
}

/// What holds for every function that is called with the state and perhaps more.
fn check_parameters(what: &str, kind: &Kind, sig: &Signature, mistakes: &mut Mistakes) {
    match sig.receiver() {
        Some(receiver) if matches!(access(receiver), Access::Borrowed) => {}
        Some(receiver) => mistakes.push(
            receiver,
            format!("{what} borrows the component's state: write `&mut self`"),
        ),
        None => mistakes.push(
            &sig.ident,
            format!(
                "{what} gets the component's state: write `fn {}(&mut self)`",
                sig.ident
            ),
        ),
    }
    let typed = sig.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(param) => Some(param),
        FnArg::Receiver(_) => None,
    });
    let (mut may_be_reason, mut may_be_context) = (kind.reason, true);
    for param in typed {
        let is_context = context_arguments(&param.ty).is_some();
        let is_fine = if is_context {
            let shared = matches!(&*param.ty, Type::Reference(it) if it.mutability.is_none());
            let whole =
                context_arguments(&param.ty).is_some_and(|it| !matches!(it, PathArguments::None));
            may_be_context && shared && whole
        } else {
            may_be_reason && !matches!(&*param.ty, Type::Reference(_))
        };
        may_be_reason = false;
        may_be_context &= !is_context;
        if !is_fine {
            mistakes.push(param, format!("{what} takes {}", kind.takes));
        }
    }
}

// Where the block doesn't have it, the compiler knows whether there is one elsewhere.
fn check_missed(component: &Component, mistakes: &mut Mistakes) {
    let mut seen: Vec<&Signature> = Vec::new();
    for handler in &component.handlers {
        let Some((_, Some(missed))) = &handler.options.missed else {
            continue;
        };
        let Some(sig) = component.sig(missed) else {
            continue;
        };
        // Two handlers may share one: its mistakes are told once.
        if seen.iter().any(|other| other.ident == sig.ident) {
            continue;
        }
        seen.push(sig);
        let what = "what is called when input is missed";
        check::check_signature(sig, "method that is called when input is missed", mistakes);
        check_parameters(what, &MISSED, sig, mistakes);
        match model::returned(&sig.output) {
            None => {}
            Some(Type::Tuple(unit)) if unit.elems.is_empty() => {}
            Some(ty) => mistakes.push(
                ty,
                format!("nobody hears what `{missed}` returns: log it, and return nothing"),
            ),
        }
    }
}

fn check_stop_replies(component: &Component, mistakes: &mut Mistakes) {
    for hook in &component.on_stop {
        match model::returned(&hook.sig.output) {
            None => {}
            Some(Type::Tuple(unit)) if unit.elems.is_empty() => {}
            Some(ty) => mistakes.push(
                ty,
                "nobody hears what an `on_stop` hook returns: log it, and return nothing",
            ),
        }
    }
}
