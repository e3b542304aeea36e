//! `#[botzilla::message]`: data with a name on the network and a reply.

mod args;
mod check;
mod expand;
mod fallback;

use proc_macro2::TokenStream;
use quote::quote;

use crate::{data, diag::Mistakes};

pub(crate) fn message(args: TokenStream, item: &TokenStream) -> TokenStream {
    let mut mistakes = Mistakes::default();
    let args = args::parse(args, &mut mistakes);
    let Some(data) = data::model::parse("message", item, &mut mistakes) else {
        let errors = mistakes.into_compile_errors();
        return quote!(#item #errors);
    };
    data::check::check(&data, &mut mistakes);
    check::check(&args, &data, &mut mistakes);
    if mistakes.is_empty() {
        return expand::expand(&args, &data);
    }
    let stub = fallback::fallback(&args, &data);
    let errors = mistakes.into_compile_errors();
    quote!(#stub #errors)
}

#[cfg(test)]
mod tests;
