//! The arguments of `#[botzilla::component(groups = [..])]`.

use proc_macro2::TokenStream;
use syn::{LitStr, Token, bracketed, punctuated::Punctuated};

use crate::{
    args::{self, Known},
    diag::Mistakes,
};

const GROUPS: Known = Known {
    key: "groups",
    usage: "groups = [\"..\"]",
};

/// The groups that a component joins wherever it is spawned.
#[derive(Default)]
pub(crate) struct Groups(pub(crate) Vec<LitStr>);

pub(crate) fn parse(tokens: TokenStream, mistakes: &mut Mistakes) -> Groups {
    let mut groups = Groups::default();
    args::parse("component", &[GROUPS], tokens, mistakes, |_, input| {
        input.parse::<Token![=]>()?;
        let list;
        bracketed!(list in input);
        let names = Punctuated::<LitStr, Token![,]>::parse_terminated(&list)?;
        groups.0.extend(names);
        Ok(())
    });
    groups
}
