//! `#[botzilla::handler]`: on a free function here; `component` reads the ones in its impl.

pub(crate) mod args;
pub(crate) mod check;
pub(crate) mod expand;
pub(crate) mod expect;
pub(crate) mod model;
pub(crate) mod stream;

use proc_macro2::TokenStream;
use quote::quote;
use syn::ItemFn;

use self::check::Place;
use crate::diag::Mistakes;

pub(crate) fn handler(args: TokenStream, item: &TokenStream) -> TokenStream {
    let mut mistakes = Mistakes::default();
    let options = args::parse(args, &mut mistakes);
    let Ok(function) = syn::parse2::<ItemFn>(item.clone()) else {
        // The compiler reports what isn't Rust at all; then ours would only be noise.
        if syn::parse2::<syn::Item>(item.clone()).is_ok() {
            mistakes.push(item, "`handler` goes on a function; leave it out here");
        }
        let errors = mistakes.into_compile_errors();
        return quote!(#item #errors);
    };
    let handler = model::read(&function.sig, options, model::cfgs(&function.attrs));
    check::check(&handler, Place::Free, &mut mistakes);
    if mistakes.is_empty() {
        return expand::expand(item, &handler);
    }
    // The function stays what it is, so there is nothing to stand in for.
    let errors = mistakes.into_compile_errors();
    quote!(#item #errors)
}

#[cfg(test)]
mod tests;
