//! Arguments of our attributes: a list of `key` and `key = value`, each at most once.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{
    Token,
    ext::IdentExt,
    parse::{ParseStream, Parser},
};

use crate::diag::Mistakes;

/// One argument that a macro takes.
pub(crate) struct Known {
    pub(crate) key: &'static str,
    /// How it is written, for the messages.
    pub(crate) usage: &'static str,
}

/// Hands each known argument to `each`, which parses what stands behind the key; where it can't,
/// the message is how the argument is written.
///
/// A bad argument is noted and skipped, up to the next comma, and those behind it are still read.
pub(crate) fn parse(
    macro_name: &str,
    known: &[Known],
    args: TokenStream,
    mistakes: &mut Mistakes,
    mut each: impl FnMut(&Ident, ParseStream<'_>) -> syn::Result<()>,
) {
    let mut seen: Vec<Ident> = Vec::new();
    let list = |input: ParseStream<'_>| {
        while !input.is_empty() {
            if let Err(error) = one(macro_name, known, &mut seen, mistakes, input, &mut each) {
                mistakes.add(error);
                skip_to_comma(input)?;
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(())
    };
    if let Err(error) = list.parse2(args) {
        mistakes.add(error);
    }
}

fn one(
    macro_name: &str,
    known: &[Known],
    seen: &mut Vec<Ident>,
    mistakes: &mut Mistakes,
    input: ParseStream<'_>,
    each: &mut impl FnMut(&Ident, ParseStream<'_>) -> syn::Result<()>,
) -> syn::Result<()> {
    let key = input.call(Ident::parse_any)?;
    let Some(argument) = known.iter().find(|argument| key == argument.key) else {
        let message = format!("`{macro_name}` takes no `{key}`; {}", offer(known));
        return Err(syn::Error::new(key.span(), message));
    };
    let twice = seen.contains(&key);
    if twice {
        mistakes.push(&key, format!("`{key}` is given twice; leave one of them"));
        return skip_to_comma(input);
    }
    seen.push(key.clone());
    let at_end = input.is_empty() || input.peek(Token![,]);
    each(&key, input).map_err(|error| {
        // With nothing behind the key there is nothing but the key to point at.
        let span = if at_end { key.span() } else { error.span() };
        syn::Error::new(span, format!("write `{}`", argument.usage))
    })?;
    if input.is_empty() || input.peek(Token![,]) {
        Ok(())
    } else {
        let message = format!("write `{}`, and a comma before the next", argument.usage);
        Err(syn::Error::new(input.span(), message))
    }
}

/// What a macro takes, as the end of a sentence.
fn offer(known: &[Known]) -> String {
    let usages: Vec<_> = known
        .iter()
        .map(|argument| format!("`{}`", argument.usage))
        .collect();
    match usages.as_slice() {
        [] => "it has no arguments".to_owned(),
        [only] => format!("write {only}, or nothing"),
        [first @ .., last] => format!("it takes {} and {last}", first.join(", ")),
    }
}

fn skip_to_comma(input: ParseStream<'_>) -> syn::Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<TokenTree>()?;
    }
    Ok(())
}

/// Notes every argument of an attribute that takes none.
pub(crate) fn none(macro_name: &str, args: &TokenStream, mistakes: &mut Mistakes) {
    if !args.is_empty() {
        mistakes.push(
            args.to_token_stream(),
            format!("`{macro_name}` has no arguments; leave these out"),
        );
    }
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    const KNOWN: &[Known] = &[
        Known {
            key: "reply",
            usage: "reply = Type",
        },
        Known {
            key: "name",
            usage: "name = \"..\"",
        },
    ];

    fn read(args: TokenStream) -> (Vec<String>, Vec<String>) {
        let mut keys = Vec::new();
        let mut mistakes = Mistakes::default();
        parse("message", KNOWN, args, &mut mistakes, |key, input| {
            input.parse::<Token![=]>()?;
            input.parse::<syn::Type>()?;
            keys.push(key.to_string());
            Ok(())
        });
        (keys, mistakes.texts())
    }

    #[test]
    fn arguments_are_read_in_any_order_with_a_trailing_comma() {
        let (keys, mistakes) = read(quote!(name = A, reply = Result<B, C>,));
        assert_eq!(keys, ["name", "reply"]);
        assert!(mistakes.is_empty());
    }

    #[test]
    fn every_bad_argument_is_noted_and_the_good_ones_are_still_read() {
        let (keys, mistakes) = read(quote!(rely = A, 7, name B, reply = C, reply = D));
        assert_eq!(keys, ["reply"]);
        assert_eq!(mistakes.len(), 4, "{mistakes:?}");
        assert!(mistakes[0].contains("`message` takes no `rely`; it takes `reply = Type` and"));
        assert!(mistakes[3].contains("twice"));
    }
}
