//! The item after a mistake: it keeps its name and fields, and has impls that satisfy whoever uses
//! it, so that the mistake is all that the compiler reports.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Data as Body, DeriveInput, Fields};

use super::model::{Data, Derives, derived};

pub(crate) fn fallback(data: &Data) -> TokenStream {
    let item = without_helpers(&data.input);
    let name = &item.ident;
    let (impl_generics, type_generics, where_clause) = item.generics.split_for_impl();
    let mut with_de = item.generics.clone();
    with_de.params.insert(0, syn::parse_quote!('de));
    let (de_generics, ..) = with_de.split_for_impl();
    quote! {
        #item
        const _: () = {
            use ::botzilla::__private::{serde, schemars};
            #[automatically_derived]
            impl #impl_generics serde::Serialize for #name #type_generics #where_clause {
                fn serialize<S: serde::Serializer>(&self, _: S) -> ::core::result::Result<S::Ok, S::Error> {
                    ::core::panic!()
                }
            }
            #[automatically_derived]
            impl #de_generics serde::Deserialize<'de> for #name #type_generics #where_clause {
                fn deserialize<D: serde::Deserializer<'de>>(_: D) -> ::core::result::Result<Self, D::Error> {
                    ::core::panic!()
                }
            }
            #[automatically_derived]
            impl #impl_generics schemars::JsonSchema for #name #type_generics #where_clause {
                fn schema_name() -> ::std::borrow::Cow<'static, str> {
                    ::core::panic!()
                }
                fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                    ::core::panic!()
                }
            }
        };
    }
}

/// The item without the attributes that only our derives know.
fn without_helpers(input: &DeriveInput) -> DeriveInput {
    let mut item = input.clone();
    strip(&mut item.attrs);
    match &mut item.data {
        Body::Struct(body) => strip_fields(&mut body.fields),
        Body::Enum(body) => {
            for variant in &mut body.variants {
                strip(&mut variant.attrs);
                strip_fields(&mut variant.fields);
            }
        }
        Body::Union(_) => {}
    }
    item
}

fn strip_fields(fields: &mut Fields) {
    fields.iter_mut().for_each(|field| strip(&mut field.attrs));
}

fn strip(attributes: &mut Vec<Attribute>) {
    attributes.retain(|attribute| {
        let path = attribute.path();
        let ours = path
            .segments
            .first()
            .is_some_and(|first| first.ident == "botzilla");
        // What hides under a `cfg_attr` is some derive's helper as a rule, and rarely missed.
        !ours
            && !["serde", "schemars", "cfg_attr"]
                .iter()
                .any(|it| path.is_ident(it))
    });
    for attribute in attributes {
        let paths = derived(attribute);
        let mut has = Derives::default();
        let others: Vec<_> = paths.iter().filter(|path| !has.count(path)).collect();
        if others.len() < paths.len() {
            *attribute = syn::parse_quote!(#[derive(#(#others),*)]);
        }
    }
}
