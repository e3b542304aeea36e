//! The options of `#[botzilla::handler(broadcast, urgent, abort)]`, those of a stream's handler, and
//! what either expects.

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::{Lit, LitBool, LitInt, LitStr, Token, parse::ParseStream};

use crate::{
    args::{self, Known},
    diag::Mistakes,
};

const OPTIONS: &[Known] = &[
    known("broadcast", "broadcast"),
    known("urgent", "urgent"),
    known("abort", "abort"),
    known("stream", "stream = \"component/stream\""),
    known("latest", "latest = 1"),
    known("reliable", "reliable"),
    known("depth", "depth = 16"),
    known("at_most", "at_most = 5.0"),
    known("keep_last", "keep_last = 1"),
    known("resubscribe", "resubscribe = false"),
    known("expect_every", "expect_every = \"200ms\""),
    known("missed", "missed = stop_motors"),
];

const fn known(key: &'static str, usage: &'static str) -> Known {
    Known { key, usage }
}

/// The options given, as the user's tokens.
#[derive(Default)]
pub(crate) struct Options {
    /// Those of a message's handler.
    pub(crate) flags: Vec<Ident>,
    /// What it is subscribed to, if it is a stream's.
    pub(crate) stream: Option<LitStr>,
    /// Those of a stream's handler, with their values.
    pub(crate) settings: Vec<Setting>,
    /// How long its input may be silent, with the key; nothing if that couldn't be read.
    pub(crate) expect_every: Option<(Ident, Option<LitStr>)>,
    /// The method that is called then, likewise.
    pub(crate) missed: Option<(Ident, Option<Ident>)>,
}

/// How a handler's stream is subscribed to.
pub(crate) struct Setting {
    pub(crate) key: Ident,
    /// None: it is `reliable`.
    pub(crate) value: Option<Lit>,
}

impl Options {
    pub(crate) fn get(&self, key: &str) -> Option<&Ident> {
        self.flags.iter().find(|option| *option == key)
    }

    pub(crate) fn setting(&self, key: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }

    /// The runtime's value of them.
    pub(crate) fn expand(&self) -> TokenStream {
        let options = &self.flags;
        quote!(::botzilla::RouteOptions::new() #(.#options(true))*)
    }

    /// The runtime's value of a stream's.
    pub(crate) fn expand_stream(&self) -> TokenStream {
        let settings = self.settings.iter().map(|setting| {
            let key = &setting.key;
            match &setting.value {
                None => quote!(.#key(true)),
                // A rate may be written as a whole number.
                Some(Lit::Int(int)) if key == "at_most" => {
                    let value = int.base10_parse::<f64>().unwrap_or_default();
                    quote!(.#key(#value))
                }
                Some(value) => quote!(.#key(#value)),
            }
        });
        quote!(::botzilla::StreamOptions::new() #(#settings)*)
    }
}

pub(crate) fn parse(tokens: TokenStream, mistakes: &mut Mistakes) -> Options {
    let mut options = Options::default();
    args::parse("handler", OPTIONS, tokens, mistakes, |key, input| {
        let mut set = |value| {
            options.settings.push(Setting {
                key: key.clone(),
                value,
            });
        };
        match key.to_string().as_str() {
            "stream" => {
                input.parse::<Token![=]>()?;
                options.stream = Some(input.parse()?);
            }
            "latest" | "depth" | "keep_last" => {
                input.parse::<Token![=]>()?;
                set(Some(Lit::Int(input.parse::<LitInt>()?)));
            }
            "at_most" => set(Some(rate(input)?)),
            "resubscribe" => {
                input.parse::<Token![=]>()?;
                set(Some(Lit::Bool(input.parse::<LitBool>()?)));
            }
            "reliable" => set(None),
            "expect_every" => {
                let (_, every) = options.expect_every.insert((key.clone(), None));
                input.parse::<Token![=]>()?;
                *every = Some(input.parse()?);
            }
            "missed" => {
                let (_, missed) = options.missed.insert((key.clone(), None));
                input.parse::<Token![=]>()?;
                *missed = Some(input.parse()?);
            }
            _ => options.flags.push(key.clone()),
        }
        Ok(())
    });
    options
}

fn rate(input: ParseStream<'_>) -> syn::Result<Lit> {
    input.parse::<Token![=]>()?;
    match input.parse::<Lit>()? {
        number @ (Lit::Int(_) | Lit::Float(_)) => Ok(number),
        other => Err(syn::Error::new_spanned(other, "a number")),
    }
}
