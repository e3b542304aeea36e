//! The item with the derives that make it data.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse_quote;

use super::model::Data;

pub(crate) fn expand(data: &Data) -> TokenStream {
    let Data { input, has } = data;
    // A derive above the attribute is gone when it runs, and then the compiler finds two impls. It
    // names the macro that the second came from: hence the name of the module.
    let serialize = (!has.serialize)
        .then(|| quote!(::botzilla::__private::move_your_derive_below_the_attribute::Serialize,));
    let deserialize = (!has.deserialize)
        .then(|| quote!(::botzilla::__private::move_your_derive_below_the_attribute::Deserialize,));
    let schema = (!has.schema)
        .then(|| quote!(::botzilla::__private::move_your_derive_below_the_attribute::JsonSchema,));
    // Behind the user's own derives, which may be the ones that know these two attributes.
    let mut item = input.clone();
    item.attrs
        .push(parse_quote!(#[serde(crate = "::botzilla::__private::serde")]));
    item.attrs
        .push(parse_quote!(#[schemars(crate = "::botzilla::__private::schemars")]));
    quote! {
        #[derive(#serialize #deserialize #schema)]
        #item
    }
}
