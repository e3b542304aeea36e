use proc_macro2::TokenStream;
use quote::quote;

use super::{args, check::check, message};
use crate::{data::model, diag::Mistakes};

fn mistakes(arguments: TokenStream, item: &TokenStream) -> Vec<String> {
    let mut mistakes = Mistakes::default();
    let args = args::parse(arguments, &mut mistakes);
    if let Some(data) = model::parse("message", item, &mut mistakes) {
        check(&args, &data, &mut mistakes);
    }
    mistakes.texts()
}

#[test]
fn a_message_has_its_identifier_as_name_and_nothing_as_reply() {
    let text = message(
        quote!(),
        &quote!(
            struct r#Move;
        ),
    )
    .to_string();
    assert!(text.contains("NAME : & 'static str = \"Move\""), "{text}");
    assert!(text.contains("type Reply = ()"), "{text}");
    assert!(text.contains("FALLIBLE : bool = false"), "{text}");
}

#[test]
fn a_reply_that_is_a_result_makes_the_message_fallible() {
    let text = message(
        quote!(reply = std::result::Result<u8, String>, name = "nav/move"),
        &quote!(
            struct Move;
        ),
    )
    .to_string();
    assert!(text.contains("FALLIBLE : bool = true"), "{text}");
    assert!(text.contains("\"nav/move\""), "{text}");
}

#[test]
fn every_kind_of_parameter_is_refused_at_its_own_token() {
    let found = mistakes(
        quote!(),
        &quote!(
            struct Move<T, const N: usize>([T; N]);
        ),
    );
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn names_that_nobody_can_type_are_refused() {
    for name in ["", "go home", "tab\t", &"x".repeat(256)] {
        let found = mistakes(
            quote!(name = #name),
            &quote!(
                struct Move;
            ),
        );
        assert_eq!(found.len(), 1, "{name:?}: {found:?}");
    }
}

#[test]
fn mistakes_in_arguments_and_item_come_together_and_the_item_stays() {
    let text = message(
        quote!(rely = u8, name = ""),
        &quote!(
            struct Move<T>(&'static T);
        ),
    )
    .to_string();
    assert_eq!(text.matches("compile_error").count(), 4, "{text}");
    assert!(text.contains("struct Move"), "{text}");
    assert!(text.contains("Message for Move"), "{text}");
}
