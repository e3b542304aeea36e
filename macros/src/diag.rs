//! Collects mistakes, so that the user sees all of them at once, at the tokens that they wrote.

use std::fmt::Display;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;

/// The mistakes found so far. Each points at a token of the user and says what to write instead.
#[derive(Default)]
pub(crate) struct Mistakes {
    found: Option<syn::Error>,
}

impl Mistakes {
    /// Adds a mistake that covers `tokens`.
    pub(crate) fn push(&mut self, tokens: impl ToTokens, message: impl Display) {
        self.add(syn::Error::new_spanned(tokens, message));
    }

    pub(crate) fn add(&mut self, error: syn::Error) {
        match &mut self.found {
            Some(found) => found.combine(error),
            None => self.found = Some(error),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_none()
    }

    /// The mistakes as `compile_error!` items, nothing if there are none.
    pub(crate) fn into_compile_errors(self) -> TokenStream {
        self.found
            .map(|error| error.into_compile_error())
            .unwrap_or_default()
    }

    /// What was found, as text, one line a mistake.
    #[cfg(test)]
    pub(crate) fn texts(&self) -> Vec<String> {
        self.found
            .iter()
            .flatten()
            .map(|error| error.to_string())
            .collect()
    }
}

/// A place of the user's, for tokens that are ours: lints know that nobody wrote them.
pub(crate) fn at(span: Span) -> Span {
    Span::call_site().located_at(span)
}
