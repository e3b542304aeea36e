use proc_macro2::TokenStream;
use quote::quote;

use super::{args, check::check, component, model};
use crate::diag::Mistakes;

fn mistakes(arguments: TokenStream, item: &TokenStream) -> Vec<String> {
    let mut mistakes = Mistakes::default();
    let groups = args::parse(arguments, &mut mistakes);
    if let Some(component) = model::parse(groups, item, &mut mistakes) {
        check(&component, &mut mistakes);
    }
    mistakes.texts()
}

fn drive() -> TokenStream {
    quote! {
        impl<S: Sensor + 'static> Drive<S> {
            #[botzilla::on_start]
            fn start(&mut self) -> Result<(), Broken> {}
            #[botzilla::on_stop]
            async fn stop(&mut self, ctx: &Ctx<Self>) {}
            /// Moves.
            #[botzilla::handler(urgent)]
            fn go(&mut self, msg: Go) -> Odometry {}
            #[handler]
            async fn follow(&self, msg: Follow, ctx: &Ctx<Self>) {}
            #[cfg(feature = "ping")]
            #[botzilla::handler]
            async fn ping(msg: Ping) -> Pong {}
            fn helper(&self) {}
        }
    }
}

#[test]
fn a_whole_component_expands_to_a_route_a_handler() {
    let text = component(quote!(groups = ["base", "all/of.them"]), &drive()).to_string();
    assert!(!text.contains("compile_error"), "{text}");
    assert!(
        !text.contains("# [botzilla") && !text.contains("# [handler"),
        "{text}"
    );
    assert!(text.contains("# [doc = r\" Moves.\"]"), "{text}");
    assert!(text.contains("[\"base\" , \"all/of.them\"]"), "{text}");
    assert_eq!(text.matches("routes . add ::").count(), 2, "{text}");
    assert_eq!(
        text.matches("routes . add_function ::").count(),
        1,
        "{text}"
    );
    assert_eq!(text.matches("IN_PLACE : bool = true").count(), 1, "{text}");
    assert!(text.contains(". urgent (true)"), "{text}");
    assert_eq!(text.matches("cfg (feature").count(), 2, "{text}");
}

#[test]
fn a_restart_hook_is_given_what_it_takes() {
    for (takes, gives) in [
        (quote!(), "Self :: again (self)"),
        (
            quote!(, why: RestartReason),
            "Self :: again (self , reason)",
        ),
        (quote!(, ctx: &Ctx<Self>), "Self :: again (self , ctx)"),
        (
            quote!(, why: botzilla::RestartReason, ctx: &Ctx<Self>),
            "Self :: again (self , reason , ctx)",
        ),
    ] {
        let item = quote!(impl Drive { #[botzilla::on_restart] fn again(&mut self #takes) {} });
        let text = component(quote!(), &item).to_string();
        assert!(text.contains("async fn restarting"), "{text}");
        assert!(text.contains(gives), "{text}");
        assert!(!text.contains("compile_error"), "{text}");
    }
}

#[test]
fn the_macro_is_not_misled_by_attributes_of_others() {
    let item = quote!(impl Drive { #[axum::handler] fn f(&self) {} });
    assert!(
        component(quote!(), &item)
            .to_string()
            .contains("axum :: handler")
    );
}

#[test]
fn each_mistake_of_a_block_is_named_with_its_remedy() {
    for (item, remedy) in [
        (quote!(impl Trait for Drive {}), "an `impl Drive` block"),
        (
            quote!(
                impl<'a> Drive<'a> {}
            ),
            "no lifetime here",
        ),
        (quote!(impl Drive<'_> {}), "no lifetime here"),
        (
            quote!(
                struct Drive;
            ),
            "goes on the `impl` block",
        ),
        (
            quote!(impl D { #[handler] fn a(&self, m: Go) {} #[handler] fn b(&self, m: Go) {} }),
            "`a` answers `Go` already",
        ),
        (
            quote!(impl D { #[on_start] fn a(&self) {} #[on_start] fn b(&self) {} }),
            "one `on_start` hook",
        ),
        (
            quote!(impl D { #[on_start] fn a() {} }),
            "write `fn a(&mut self)`",
        ),
        (
            quote!(impl D { #[on_stop] fn a(self) {} }),
            "write `&mut self`",
        ),
        (
            quote!(impl D { #[on_restart] fn a(&self) {} #[on_restart] fn b(&self) {} }),
            "one `on_restart` hook",
        ),
        (
            quote!(impl D { #[on_restart] fn a(&self, reason: &RestartReason) {} }),
            "`reason: RestartReason`",
        ),
        (
            quote!(impl D { #[on_restart] fn a(&self, ctx: &Ctx<Self>, reason: RestartReason) {} }),
            "both in this order",
        ),
        (
            quote!(impl D { #[on_restart] fn a(&self, reason: RestartReason, ctx: Ctx<Self>) {} }),
            "`ctx: &Ctx<Self>`",
        ),
        (
            quote!(impl D { #[on_start] fn a(&self, ctx: &Ctx<Self>, other: &Ctx<Self>) {} }),
            "nothing beside its state",
        ),
        (
            quote!(impl D { #[on_stop] fn a(&self) -> u8 {} }),
            "return nothing",
        ),
        (
            quote!(impl D { #[on_start] fn a(&self, m: Go) {} }),
            "or `ctx: &Ctx<Self>`",
        ),
        (
            quote!(impl D { #[on_start(now)] fn a(&self) {} }),
            "no arguments",
        ),
        (
            quote!(impl D { #[on_start] #[handler] fn a(&self) {} }),
            "once",
        ),
    ] {
        let found = mistakes(quote!(), &item);
        assert_eq!(found.len(), 1, "{item}: {found:?}");
        assert!(found[0].contains(remedy), "{item}: {found:?}");
    }
}

#[test]
fn handlers_for_one_message_under_conditions_may_exclude_one_another() {
    let found = mistakes(
        quote!(),
        &quote! {
            impl D {
                #[cfg(sim)] #[handler] fn a(&self, m: Go) {}
                #[cfg(not(sim))] #[handler] fn b(&self, m: Go) {}
            }
        },
    );
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn groups_are_names_each_once() {
    let item = quote!(impl Drive {});
    for groups in [
        quote!(groups = ["a b"]),
        quote!(groups = [""]),
        quote!(groups = ["a", "a"]),
        quote!(groups = "a"),
        quote!(groups),
        quote!(group = ["a"]),
        quote!(groups = ["a"], groups = ["b"]),
    ] {
        let found = mistakes(groups.clone(), &item);
        assert_eq!(found.len(), 1, "{groups}: {found:?}");
    }
}

#[test]
fn after_a_mistake_the_type_is_still_a_component_that_handles_what_could_be_read() {
    let item = quote! {
        impl<'a> Drive<'a> {
            #[handler] fn a(&mut self, msg: &Go) {}
            #[handler] fn b(&mut self, msg: Stop) {}
            #[handler] fn c(&mut self, msg: Stop) {}
            #[handler] fn d(&mut self) {}
        }
    };
    let text = component(quote!(), &item).to_string();
    assert_eq!(text.matches("compile_error").count(), 4, "{text}");
    assert!(text.contains("Component for Drive < 'static >"), "{text}");
    assert_eq!(text.matches("Handler <").count(), 2, "{text}");
}
