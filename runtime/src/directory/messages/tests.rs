//! PROTOCOL.md, section 12, is what others implement: its examples are these types' own.

use botzilla_wire::{
    encoding::{Encoding, decode, encode},
    fingerprint::Layout,
    limits::Limits,
};
use serde_json::Value;

use super::*;
use crate::Message;

/// The section's blocks: language, type, text.
fn examples() -> Vec<(&'static str, &'static str, String)> {
    let text = include_str!("../../../../PROTOCOL.md");
    let section = text.split("\n## 12.").nth(1).unwrap();
    let section = section.split("\n## 13.").next().unwrap();
    let mut blocks = section.split("```").skip(1).step_by(2);
    let mut examples = Vec::new();
    for block in &mut blocks {
        let (head, body) = block.split_once('\n').unwrap();
        let (language, name) = head.split_once(' ').unwrap();
        examples.push((language, name, body.to_owned()));
    }
    examples
}

fn check<T: crate::Data>(name: &str) -> usize {
    let limits = Limits::default();
    let mut last = None;
    let mut found = 0;
    for (language, _, body) in examples().iter().filter(|it| it.1 == name) {
        found += 1;
        if *language == "json" {
            let value: T = decode(Encoding::Json, body.as_bytes(), &limits).unwrap();
            let written: Value = serde_json::from_str(body).unwrap();
            assert_eq!(serde_json::to_value(&value).unwrap(), written, "{name}");
            last = Some(value);
        } else {
            let mut bytes = Vec::new();
            encode(Encoding::Bincode, last.as_ref().unwrap(), &mut bytes).unwrap();
            let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex.join(" "), body.trim(), "{name}");
        }
    }
    found
}

#[test]
fn the_protocol_s_examples_are_what_these_types_read_and_write() {
    let counts = [
        check::<Register>("Register"),
        check::<RegisterReply>("RegisterReply"),
        check::<Deregister>("Deregister"),
        check::<Introduce>("Introduce"),
        check::<IntroduceReply>("IntroduceReply"),
        check::<Dial>("Dial"),
        check::<Dialled>("Dialled"),
        check::<Resolve>("Resolve"),
        check::<ResolveReply>("ResolveReply"),
        check::<List>("List"),
        check::<ListReply>("ListReply"),
        check::<Watch>("Watch"),
        check::<WatchReply>("WatchReply"),
    ];
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    assert_eq!(counts.iter().sum::<usize>(), examples().len());
}

#[test]
fn what_has_a_default_may_be_left_out_in_json() {
    let limits = Limits::default();
    let list: List = decode(Encoding::Json, b"{}", &limits).unwrap();
    assert_eq!(list, List::default());
    let resolve: Resolve = decode(Encoding::Json, br#"{"name":"a"}"#, &limits).unwrap();
    assert_eq!(resolve.wait_ms, 0);
}

#[test]
fn all_of_them_travel_as_bincode() {
    fn traced<M: Message>() {
        Layout::of::<M, M::Reply>().unwrap();
    }
    traced::<Register>();
    traced::<Deregister>();
    traced::<Introduce>();
    traced::<Dial>();
    traced::<Resolve>();
    traced::<List>();
    traced::<Watch>();
}
