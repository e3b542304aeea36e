//! `#[botzilla::data]`: what messages and replies are made of.

pub(crate) mod check;
pub(crate) mod expand;
pub(crate) mod fallback;
pub(crate) mod model;

use proc_macro2::TokenStream;
use quote::quote;

use crate::{args, diag::Mistakes};

pub(crate) fn data(args: &TokenStream, item: &TokenStream) -> TokenStream {
    let mut mistakes = Mistakes::default();
    args::none("data", args, &mut mistakes);
    let Some(data) = model::parse("data", item, &mut mistakes) else {
        let errors = mistakes.into_compile_errors();
        return quote!(#item #errors);
    };
    check::check(&data, &mut mistakes);
    if mistakes.is_empty() {
        return expand::expand(&data);
    }
    let stub = fallback::fallback(&data);
    let errors = mistakes.into_compile_errors();
    quote!(#stub #errors)
}

#[cfg(test)]
mod tests;
