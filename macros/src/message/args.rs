//! The arguments of `#[botzilla::message(reply = Type, name = "..")]`.

use proc_macro2::TokenStream;
use syn::{LitStr, Token, Type};

use crate::{
    args::{self, Known},
    diag::Mistakes,
};

const REPLY: Known = Known {
    key: "reply",
    usage: "reply = Type",
};
const NAME: Known = Known {
    key: "name",
    usage: "name = \"..\"",
};

#[derive(Default)]
pub(crate) struct Args {
    /// What answers it; nothing stands for `()`.
    pub(crate) reply: Option<Type>,
    /// What it is called on the network; nothing stands for the type's identifier.
    pub(crate) name: Option<LitStr>,
}

pub(crate) fn parse(tokens: TokenStream, mistakes: &mut Mistakes) -> Args {
    let mut args = Args::default();
    args::parse("message", &[REPLY, NAME], tokens, mistakes, |key, input| {
        input.parse::<Token![=]>()?;
        if key == REPLY.key {
            args.reply = Some(input.parse()?);
        } else {
            args.name = Some(input.parse()?);
        }
        Ok(())
    });
    args
}
