//! `#[botzilla::main]`: an async `main` in an actix system.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::ItemFn;

use crate::{args, diag::Mistakes, handler::expand::return_span};

pub(crate) fn main(args: &TokenStream, item: &TokenStream) -> TokenStream {
    let mut mistakes = Mistakes::default();
    args::none("main", args, &mut mistakes);
    let Ok(function) = syn::parse2::<ItemFn>(item.clone()) else {
        // The compiler reports what isn't Rust at all; then ours would only be noise.
        if syn::parse2::<syn::Item>(item.clone()).is_ok() {
            mistakes.push(item, "`main` goes on `async fn main()`, not here");
        }
        let errors = mistakes.into_compile_errors();
        return quote!(#item #errors);
    };
    check(&function, &mut mistakes);
    if mistakes.is_empty() {
        return expand(&function);
    }
    let errors = mistakes.into_compile_errors();
    // A binary without a `main` would be one mistake more.
    let stub = (function.sig.ident == "main").then(|| {
        quote!(
            fn main() {}
        )
    });
    quote!(#stub #errors)
}

fn check(function: &ItemFn, mistakes: &mut Mistakes) {
    let sig = &function.sig;
    if sig.ident != "main" {
        mistakes.push(
            &sig.ident,
            "this attribute goes on the program's `main`; call this function from there",
        );
    }
    if sig.asyncness.is_none() {
        mistakes.push(
            sig.fn_token,
            "write `async fn main()`; a `main` that isn't async needs no attribute",
        );
    }
    if !sig.inputs.is_empty() {
        mistakes.push(
            &sig.inputs,
            "`main` takes nothing; the command line is in `std::env::args()`",
        );
    }
    if !sig.generics.params.is_empty() {
        mistakes.push(&sig.generics, "`main` can't be generic");
    }
}

fn expand(function: &ItemFn) -> TokenStream {
    let name = &function.sig.ident;
    let span = return_span(&function.sig);
    let run = quote_spanned!(span=> ::botzilla::__private::main(#name));
    // The user's own function stays whole inside, and so do the compiler's words about it.
    let function = function.to_token_stream();
    quote! {
        fn main() -> ::std::process::ExitCode {
            #function
            #run
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_main_stays_whole_inside_the_real_one() {
        let text = main(
            &quote!(),
            &quote!(
                async fn main() -> Result<()> {
                    Ok(())
                }
            ),
        )
        .to_string();
        assert!(
            text.starts_with("fn main () -> :: std :: process :: ExitCode {"),
            "{text}"
        );
        assert!(text.contains("async fn main () -> Result < () >"), "{text}");
    }

    #[test]
    fn every_mistake_is_named_and_a_main_is_left() {
        let text = main(
            &quote!(x),
            &quote!(
                fn main(a: u8) {}
            ),
        )
        .to_string();
        assert_eq!(text.matches("compile_error").count(), 3, "{text}");
        assert!(text.contains("fn main () { }"), "{text}");
    }
}
