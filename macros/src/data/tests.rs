use proc_macro2::TokenStream;
use quote::quote;

use super::{check::check, data, model::parse};
use crate::diag::Mistakes;

fn mistakes(item: &TokenStream) -> Vec<String> {
    let mut mistakes = Mistakes::default();
    if let Some(data) = parse("data", item, &mut mistakes) {
        check(&data, &mut mistakes);
    }
    mistakes.texts()
}

#[test]
fn a_derive_below_the_attribute_is_not_derived_again() {
    let text = data(
        &quote!(),
        &quote! {
            #[derive(Clone, serde::Serialize, JsonSchema)]
            struct Scan { ranges_m: Vec<f32> }
        },
    )
    .to_string();
    assert!(!text.contains("attribute :: Serialize"), "{text}");
    assert!(text.contains("attribute :: Deserialize"), "{text}");
    assert!(!text.contains("attribute :: JsonSchema"), "{text}");
}

#[test]
fn a_trait_of_the_same_name_from_another_crate_is_another_trait() {
    let text = data(
        &quote!(),
        &quote!(
            #[derive(rkyv::Serialize)]
            struct Scan;
        ),
    )
    .to_string();
    assert!(text.contains("attribute :: Serialize"), "{text}");
}

#[test]
fn what_bincode_carries_is_accepted() {
    let found = mistakes(&quote! {
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Scan<T> {
            #[serde(skip)] cache: T,
            #[serde(default, rename = "r", with = "ranges")] ranges_m: Vec<f32>,
            #[serde(skip_serializing, skip_deserializing)] other: u8,
        }
    });
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn every_serde_attribute_that_bincode_cannot_carry_is_named() {
    let found = mistakes(&quote! {
        #[serde(untagged)]
        #[cfg_attr(feature = "web", serde(tag = "kind", content = "value"))]
        enum Goal {
            #[serde(skip)] A,
            #[serde(untagged)] B { #[serde(flatten)] rest: u8 },
            C(#[serde(skip_serializing_if = "Option::is_none")] Option<u8>, #[serde(skip_serializing)] u8),
        }
    });
    assert_eq!(found.len(), 7, "{found:#?}");
    assert!(
        found
            .iter()
            .all(|text| text.contains("bincode can't carry"))
    );
}

#[test]
fn borrowed_data_is_refused_once_a_borrow() {
    assert_eq!(
        mistakes(&quote!(
            struct A<'a> {
                text: &'a str,
            }
        ))
        .len(),
        1
    );
    assert_eq!(
        mistakes(&quote!(
            struct A {
                text: Vec<&'static str>,
            }
        ))
        .len(),
        1
    );
    assert_eq!(mistakes(&quote!(union A { a: u8 })).len(), 1);
    assert_eq!(
        mistakes(&quote!(
            fn a() {}
        ))
        .len(),
        1
    );
}

#[test]
fn the_item_survives_a_mistake_without_its_helper_attributes() {
    let text = data(
        &quote!(),
        &quote! {
            #[derive(Debug, Serialize)]
            #[serde(untagged)]
            enum Goal { #[serde(rename = "x")] A(u8) }
        },
    )
    .to_string();
    assert!(text.contains("derive (Debug)"), "{text}");
    assert!(
        !text.contains("serde (") && text.contains("enum Goal"),
        "{text}"
    );
    assert!(text.contains("compile_error"), "{text}");
}
