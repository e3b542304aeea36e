use proc_macro2::TokenStream;
use quote::quote;
use syn::ItemFn;

use super::{
    args::{self, Options},
    check::{Place, check},
    model,
};
use crate::diag::Mistakes;

fn mistakes(place: Place, options: Options, function: &TokenStream) -> Vec<String> {
    let function: ItemFn = syn::parse2(function.clone()).unwrap();
    let handler = model::read(&function.sig, options, Vec::new());
    let mut mistakes = Mistakes::default();
    check(&handler, place, &mut mistakes);
    mistakes.texts()
}

fn method(function: &TokenStream) -> Vec<String> {
    mistakes(Place::Component, Options::default(), function)
}

#[test]
fn every_shape_of_handler_is_accepted() {
    for function in [
        quote!(
            fn f(&mut self, msg: Ping) {}
        ),
        quote!(
            fn f(&self, Ping { at }: Ping) -> Pong {
                at
            }
        ),
        quote!(
            fn f(self: &mut Self, msg: Ping, ctx: &Ctx<Self>) -> Result<Pong, E> {}
        ),
        quote!(
            async fn f(&mut self, msg: proto::Ping, _: &botzilla::Ctx<Drive>) -> Later<Pong> {}
        ),
        quote!(
            async fn f<'a>(msg: Ping, ctx: &'a Ctx<Self>) {}
        ),
    ] {
        assert_eq!(method(&function), [""; 0], "{function}");
    }
    for function in [
        quote!(
            async fn f(msg: Ping) -> Pong {}
        ),
        quote!(
            fn f(msg: Ping, ctx: &Ctx) -> Pong {}
        ),
    ] {
        let found = mistakes(Place::Free, Options::default(), &function);
        assert_eq!(found, [""; 0], "{function}");
    }
}

#[test]
fn each_mistake_is_named_with_its_remedy() {
    for (function, remedy) in [
        (
            quote!(
                fn f(&mut self) {}
            ),
            "write `fn f(&mut self, msg: SomeMessage)`",
        ),
        (
            quote!(
                fn f() {}
            ),
            "write `fn f(msg: SomeMessage)`",
        ),
        (
            quote!(
                fn f(&self, ctx: &Ctx<Self>) {}
            ),
            "write `fn f(&self, msg: SomeMessage)`",
        ),
        (
            quote!(
                fn f(&self, a: A, b: B) {}
            ),
            "put both into one message type",
        ),
        (
            quote!(
                fn f(&self, a: &A) {}
            ),
            "by value: write `A`",
        ),
        (
            quote!(
                fn f(&self, a: impl Message) {}
            ),
            "name it",
        ),
        (
            quote!(
                fn f(self, a: A) {}
            ),
            "write `&mut self` or `&self`",
        ),
        (
            quote!(
                fn f(self: Box<Self>, a: A) {}
            ),
            "write `&mut self` or `&self`",
        ),
        (
            quote!(
                fn f(&self, a: A, c: Ctx<Self>) {}
            ),
            "write the context as `ctx: &Ctx<Self>`",
        ),
        (
            quote!(
                fn f(&self, a: A, c: &mut Ctx<Self>) {}
            ),
            "write the context as",
        ),
        (
            quote!(
                fn f(&self, a: A, c: &Ctx) {}
            ),
            "write the context as",
        ),
        (
            quote!(
                fn f(&self, c: &Ctx<Self>, a: A) {}
            ),
            "the message comes first",
        ),
        (
            quote!(
                fn f(&self, a: A, c: &Ctx<Self>, d: &Ctx<Self>) {}
            ),
            "one context",
        ),
        (
            quote!(
                fn f<T>(&self, a: A) {}
            ),
            "can't be generic",
        ),
        (
            quote!(
                unsafe fn f(&self, a: A) {}
            ),
            "safely",
        ),
        (
            quote!(
                extern "C" fn f(a: A) {}
            ),
            "ordinary function",
        ),
        (
            quote!(
                fn f(&self, a: A) -> &B {}
            ),
            "return `B`",
        ),
        (
            quote!(
                fn f(&self, a: A) -> impl Future<Output = B> {}
            ),
            "`async fn`",
        ),
    ] {
        let found = method(&function);
        assert_eq!(found.len(), 1, "{function}: {found:?}");
        assert!(found[0].contains(remedy), "{function}: {found:?}");
    }
}

#[test]
fn a_free_function_has_no_self_and_no_options() {
    let found = mistakes(
        Place::Free,
        Options::default(),
        &quote!(
            fn f(&self) {}
        ),
    );
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("under `#[botzilla::component]`"));
    let options = args::parse(quote!(urgent), &mut Mistakes::default());
    let found = mistakes(
        Place::Free,
        options,
        &quote!(
            fn f(a: A) {}
        ),
    );
    assert!(found[0].contains("move the function into"), "{found:?}");
}

#[test]
fn abort_needs_an_await() {
    let options = || args::parse(quote!(abort, broadcast), &mut Mistakes::default());
    let found = mistakes(
        Place::Component,
        options(),
        &quote!(
            fn f(&self, a: A) {}
        ),
    );
    assert!(found[0].contains("make it `async`"), "{found:?}");
    let found = mistakes(
        Place::Component,
        options(),
        &quote!(
            async fn f(&self, a: A) {}
        ),
    );
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn unknown_and_doubled_options_are_noted() {
    let mut mistakes = Mistakes::default();
    let options = args::parse(quote!(urgent, urgnt, urgent, abort), &mut mistakes);
    assert_eq!(options.flags.len(), 2);
    assert_eq!(mistakes.texts().len(), 2);
}

fn stream(options: TokenStream, function: &TokenStream) -> Vec<String> {
    let mut mistaken = Mistakes::default();
    let options = args::parse(options, &mut mistaken);
    let mut texts = mistaken.texts();
    texts.extend(mistakes(Place::Component, options, function));
    texts
}

#[test]
fn a_stream_handler_takes_its_item_in_any_way() {
    for function in [
        quote!(
            fn f(&mut self, scan: Scan) {}
        ),
        quote!(
            fn f(&self, scan: &Scan, ctx: &Ctx<Self>) {}
        ),
        quote!(
            async fn f(&mut self, scan: std::sync::Arc<Scan>) {}
        ),
        quote!(
            async fn f(&mut self, scan: Item<Scan>, ctx: &Ctx<Self>) -> () {}
        ),
        quote!(
            fn f(&mut self, scan: &botzilla::Item<Scan>) {}
        ),
        quote!(
            async fn f(&mut self, scan: Result<Item<Scan>, StreamError>) {}
        ),
    ] {
        for options in [
            quote!(stream = "lidar/scan"),
            quote!(stream = "*/scan", latest = 4, at_most = 5, keep_last = 0),
            quote!(stream = "*/scan", resubscribe = false, keep_last = 3),
            quote!(stream = "group:base/*", reliable, depth = 16, at_most = 0.5),
        ] {
            assert_eq!(stream(options, &function), [""; 0], "{function}");
        }
    }
}

#[test]
fn a_stream_handlers_mistakes_are_named() {
    let plain = quote!(
        fn f(&mut self, scan: Scan) {}
    );
    for (options, remedy) in [
        (quote!(stream = "scan"), "write `component/stream`"),
        (quote!(stream = "li dar/scan"), "characters"),
        (quote!(stream = "group:/scan"), "a group and a stream"),
        (quote!(stream), "write `stream = \"component/stream\"`"),
        (quote!(stream = "a/b", urgent), "leave `urgent` out"),
        (quote!(stream = "a/b", broadcast), "leave `broadcast` out"),
        (quote!(stream = "a/b", abort), "leave `abort` out"),
        (quote!(stream = "a/b", latest = 0), "more than 0"),
        (quote!(stream = "a/b", at_most = 0.0), "more than 0"),
        (
            quote!(stream = "a/b", at_most = "5"),
            "write `at_most = 5.0`",
        ),
        (
            quote!(stream = "a/b", resubscribe),
            "write `resubscribe = false`",
        ),
        (quote!(stream = "a/b", latest = 1, depth = 2), "leave one"),
        (quote!(latest = 1), "`stream = \"component/stream\"`"),
        (quote!(stream = "a/b", expect_every = "1s"), "`missed = "),
        (quote!(stream = "a/b", missed = halt), "`expect_every = "),
        (
            quote!(stream = "a/b", missed = halt, expect_every = "1"),
            "no unit",
        ),
        (
            quote!(stream = "a/b", missed = "halt", expect_every = "1s"),
            "write `missed = stop_motors`",
        ),
    ] {
        let found = stream(options.clone(), &plain);
        assert_eq!(found.len(), 1, "{options}: {found:?}");
        assert!(found[0].contains(remedy), "{options}: {found:?}");
    }
    for (function, remedy) in [
        (
            quote!(
                fn f(&mut self, scan: Scan) -> u32 {}
            ),
            "return nothing",
        ),
        (
            quote!(
                fn f(scan: Scan) {}
            ),
            "write `fn f(&mut self, ..)`",
        ),
        (
            quote!(
                fn f(&mut self, scan: impl Data) {}
            ),
            "name it",
        ),
    ] {
        let found = stream(quote!(stream = "a/b"), &function);
        assert_eq!(found.len(), 1, "{function}: {found:?}");
        assert!(found[0].contains(remedy), "{function}: {found:?}");
    }
}
