//! What a message can't be, beside what data can't be; one function a rule.

use syn::{GenericParam, Type};

use super::args::Args;
use crate::{data::model::Data, diag::Mistakes};

/// What the network takes as a message's name.
const MAX_NAME_BYTES: usize = 255;

pub(crate) fn check(args: &Args, data: &Data, mistakes: &mut Mistakes) {
    check_parameters(data, mistakes);
    check_name(args, mistakes);
    check_reply(args, mistakes);
}

// All instances would share one name, and their bytes would be taken for one another.
fn check_parameters(data: &Data, mistakes: &mut Mistakes) {
    for param in &data.input.generics.params {
        if !matches!(param, GenericParam::Lifetime(_)) {
            mistakes.push(
                param,
                format!(
                    "a message has one layout under one name, so it can't be generic: write the \
                     type out, or make `{}` data and hold it in one message a type",
                    data.input.ident
                ),
            );
        }
    }
}

fn check_name(args: &Args, mistakes: &mut Mistakes) {
    let Some(literal) = &args.name else { return };
    let name = literal.value();
    if name.is_empty() {
        mistakes.push(
            literal,
            "a message's name can't be empty; leave `name` out to use the type's",
        );
    } else if name.len() > MAX_NAME_BYTES {
        mistakes.push(
            literal,
            format!(
                "a message's name has at most {MAX_NAME_BYTES} bytes, this one {}; shorten it",
                name.len()
            ),
        );
    } else if name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        mistakes.push(
            literal,
            "a message's name has no spaces: people type it; write `-` or `_` instead",
        );
    }
}

fn check_reply(args: &Args, mistakes: &mut Mistakes) {
    match &args.reply {
        Some(Type::Reference(reference)) => mistakes.push(
            reference,
            "a reply owns what it holds: write `String` for `&str`, `T` for `&T`",
        ),
        Some(Type::ImplTrait(it)) => mistakes.push(it, "name the reply's type here"),
        _ => {}
    }
}
