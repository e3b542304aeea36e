//! A type made of data, as the user wrote it.

use proc_macro2::TokenStream;
use syn::{Attribute, DeriveInput, Meta, Path, Token, punctuated::Punctuated};

use crate::diag::Mistakes;

/// The item under the attribute.
pub(crate) struct Data {
    pub(crate) input: DeriveInput,
    /// Which of our derives the user wrote already, below the attribute.
    pub(crate) has: Derives,
}

/// A choice among the traits that data derives.
#[derive(Clone, Copy, Default)]
pub(crate) struct Derives {
    pub(crate) serialize: bool,
    pub(crate) deserialize: bool,
    pub(crate) schema: bool,
}

impl Derives {
    /// Counts `path` in, and says whether it is one of ours.
    ///
    /// A path through another crate (`rkyv::Serialize`) is another trait.
    pub(crate) fn count(&mut self, path: &Path) -> bool {
        let Some(last) = path.segments.last() else {
            return false;
        };
        let from = path
            .segments
            .iter()
            .rev()
            .nth(1)
            .map(|segment| segment.ident.to_string());
        let through = |module: &str| from.as_deref().is_none_or(|from| from == module);
        let one = match last.ident.to_string().as_str() {
            "Serialize" if through("serde") => &mut self.serialize,
            "Deserialize" if through("serde") => &mut self.deserialize,
            "JsonSchema" if through("schemars") => &mut self.schema,
            _ => return false,
        };
        *one = true;
        true
    }
}

/// Reads the item; `None`, with the mistake noted, if it isn't a type.
pub(crate) fn parse(macro_name: &str, item: &TokenStream, mistakes: &mut Mistakes) -> Option<Data> {
    let Ok(input) = syn::parse2::<DeriveInput>(item.clone()) else {
        // The compiler reports what isn't Rust at all; then ours would only be noise.
        if let Ok(item) = syn::parse2::<syn::Item>(item.clone()) {
            mistakes.push(
                item,
                format!("`{macro_name}` goes on a struct or an enum; leave it out here"),
            );
        }
        return None;
    };
    let mut has = Derives::default();
    for path in input.attrs.iter().flat_map(derived) {
        has.count(&path);
    }
    Some(Data { input, has })
}

/// The paths in a `#[derive(..)]`.
pub(crate) fn derived(attribute: &Attribute) -> Punctuated<Path, Token![,]> {
    match &attribute.meta {
        Meta::List(list) if list.path.is_ident("derive") => list
            .parse_args_with(Punctuated::parse_terminated)
            .unwrap_or_default(),
        _ => Punctuated::new(),
    }
}
