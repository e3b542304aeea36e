//! `#[botzilla::component]`: an impl block whose marked functions are handlers and hooks.

mod args;
mod check;
mod expand;
mod fallback;
mod model;

use proc_macro2::TokenStream;
use quote::quote;

use crate::diag::Mistakes;

pub(crate) fn component(args: TokenStream, item: &TokenStream) -> TokenStream {
    let mut mistakes = Mistakes::default();
    let groups = args::parse(args, &mut mistakes);
    let Some(component) = model::parse(groups, item, &mut mistakes) else {
        let errors = mistakes.into_compile_errors();
        return quote!(#item #errors);
    };
    check::check(&component, &mut mistakes);
    if mistakes.is_empty() {
        return expand::expand(&component);
    }
    let stub = fallback::fallback(&component);
    let errors = mistakes.into_compile_errors();
    quote!(#stub #errors)
}

/// A hook that no component's impl holds: `component` takes the attribute off those that it reads.
pub(crate) fn stray_hook(name: &str, item: &TokenStream) -> TokenStream {
    let mut mistakes = Mistakes::default();
    mistakes.push(
        item,
        format!(
            "`{name}` marks a method in an `impl` block under `#[botzilla::component]`; put that \
             above the block"
        ),
    );
    let errors = mistakes.into_compile_errors();
    quote!(#item #errors)
}

#[cfg(test)]
mod tests;
