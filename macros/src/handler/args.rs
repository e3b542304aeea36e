//! The options of `#[botzilla::handler(broadcast, urgent, abort)]`.

use proc_macro2::{Ident, TokenStream};
use quote::quote;

use crate::{
    args::{self, Known},
    diag::Mistakes,
};

const OPTIONS: &[Known] = &[
    Known {
        key: "broadcast",
        usage: "broadcast",
    },
    Known {
        key: "urgent",
        usage: "urgent",
    },
    Known {
        key: "abort",
        usage: "abort",
    },
];

/// The options given, as the user's tokens.
#[derive(Default)]
pub(crate) struct Options(pub(crate) Vec<Ident>);

impl Options {
    pub(crate) fn get(&self, key: &str) -> Option<&Ident> {
        self.0.iter().find(|option| *option == key)
    }

    /// The runtime's value of them.
    pub(crate) fn expand(&self) -> TokenStream {
        let options = &self.0;
        quote!(::botzilla::RouteOptions::new() #(.#options(true))*)
    }
}

pub(crate) fn parse(tokens: TokenStream, mistakes: &mut Mistakes) -> Options {
    let mut options = Options::default();
    args::parse("handler", OPTIONS, tokens, mistakes, |key, _| {
        options.0.push(key.clone());
        Ok(())
    });
    options
}
