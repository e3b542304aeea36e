#![expect(dead_code, clippy::use_self, reason = "the types are only traced")]

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
    num::NonZeroU8,
    time::Duration,
};

use serde::Deserialize;

use proptest::prelude::*;

use super::*;

fn text<T: DeserializeOwned>() -> String {
    let layout = Layout::of::<T, ()>().unwrap();
    let (text, reply) = layout.text().rsplit_once(" -> ").unwrap();
    assert_eq!(reply, "()");
    text.to_owned()
}

macro_rules! types {
    ($($(#[$attr:meta])* $name:ident $body:tt)*) => {
        $(#[derive(Deserialize)] $(#[$attr])* struct $name $body)*
    };
}

#[test]
fn texts_are_as_documented() {
    types! { Velocity { linear_mps: f64, angular_rps: f64 } }
    #[derive(Deserialize)]
    enum State {
        Idle,
        Moving { to: Velocity, past: Vec<Velocity> },
        Failed(String),
        Both(u8, Option<Option<i16>>),
    }
    assert_eq!(text::<Velocity>(), "{linear_mps:f64,angular_rps:f64}");
    assert_eq!(
        text::<State>(),
        "<Idle|Moving{to:#1={linear_mps:f64,angular_rps:f64},past:[#1]}|Failed(str)|Both(u8,??i16)>"
    );
    assert_eq!(text::<HashMap<u16, [f32; 3]>>(), "[u16:(f32*3)]");
    assert_eq!(text::<Duration>(), "{secs:u64,nanos:u32}");
    assert_eq!(text::<Result<u8, String>>(), "<Ok(u8)|Err(str)>");
    assert_eq!(text::<IpAddr>(), "<V4((u8*4))|V6((u8*16))>");
    assert_eq!(text::<()>(), "()");
}

/// Pairs that bincode or a person would misread must have different texts.
#[test]
fn what_differs_on_the_wire_or_in_a_name_differs_in_its_text() {
    macro_rules! differ {
        ($count:ident: $($a:ty, $b:ty;)*) => {
            $(
                assert_ne!(text::<$a>(), text::<$b>());
                $count += 1;
            )*
        };
    }
    types! {
        A { a: u32, b: u32 }
        Swapped { b: u32, a: u32 }
        Renamed { a: u32, c: u32 }
        More { a: u32, b: u32, c: u32 }
        Less { a: u32 }
        Inner { at: A, n: u8 }
        Flat { a: u32, b: u32, n: u8 }
        Nested { at: Renamed, n: u8 }
        Empty {}
        List { next: Option<Box<List>>, value: u8 }
        WideList { next: Option<Box<WideList>>, value: u16 }
        Tree { children: Vec<Tree> }
        #[serde(rename_all = "camelCase")]
        Camel { linear_mps: f64 }
        Snake { linear_mps: f64 }
    }
    #[derive(Deserialize)]
    struct Bytes(#[serde(deserialize_with = "byte_buf")] Vec<u8>);
    #[derive(Deserialize)]
    enum E {
        X,
        Y(u8),
    }
    #[derive(Deserialize)]
    enum Turned {
        Y(u8),
        X,
    }
    #[derive(Deserialize)]
    enum Other {
        X,
        Z(u8),
    }
    #[derive(Deserialize)]
    enum Longer {
        X,
        Y(u8),
        Z,
    }
    #[derive(Deserialize)]
    enum Named {
        X,
        Y { y: u8 },
    }
    #[derive(Deserialize)]
    enum Wide {
        X,
        Y(u16),
    }
    #[derive(Deserialize)]
    enum Units {
        X,
        Y,
    }
    #[derive(Deserialize)]
    enum Deep {
        X,
        Y(Inner),
    }
    #[derive(Deserialize)]
    enum Deeper {
        X,
        Y(Nested),
    }
    let mut count = 0;
    differ! { count:
        u8, u16; u16, u32; u32, u64; u64, u128; i8, i16; i16, i32; i32, i64; i64, i128;
        u8, i8; u32, i32; u64, i64; f32, f64; u8, bool; char, u32; u64, f64; String, char;
        String, Vec<u8>; Vec<u8>, Bytes; String, Bytes; (), bool; u8, Option<u8>;
        Option<u8>, Option<Option<u8>>; Vec<u8>, Option<u8>; Vec<u8>, Vec<u16>; Vec<u8>, [u8; 4];
        [u8; 4], [u8; 5]; (u8, u16), (u16, u8); (u8,), (u8, u8);
        HashMap<u8, u8>, HashMap<u16, u8>; HashMap<u8, u8>, HashMap<u8, u16>;
        HashMap<u8, u8>, Vec<(u8, u8)>; HashMap<String, u8>, HashMap<char, u8>;
        A, Swapped; A, Renamed; A, More; A, Less; A, (u32, u32); Inner, Flat; Inner, Nested;
        Empty, (); E, Turned; E, Other; E, Longer; E, Named; E, Wide; E, Units; E, Deep; Deep, Deeper;
        Units, bool; E, Option<u8>; List, WideList; List, Tree; Camel, Snake;
        Result<u8, u16>, Result<u16, u8>; Duration, (u64, u32); IpAddr, String;
        Vec<Option<A>>, Option<Vec<A>>;
    }
    assert!(count >= 55, "{count} pairs");
    // A reply counts as much as the message.
    assert_ne!(
        Layout::of::<A, u8>().unwrap(),
        Layout::of::<A, u16>().unwrap()
    );
    assert_ne!(
        Layout::of::<A, u8>().unwrap(),
        Layout::of::<u8, A>().unwrap()
    );
}

#[test]
fn what_is_the_same_to_bincode_and_to_people_is_the_same_text() {
    #[derive(Deserialize)]
    struct Meters(f64);
    #[derive(Deserialize)]
    struct Generic<T> {
        x: T,
    }
    types! {
        /// With docs.
        A { a: u32, b: Option<Point> }
        B { /** And here. */ a: u32, b: Option<Place> }
        Point { x: f64 }
        Place { x: f64 }
        Twice { from: Point, to: Point }
        TwoTypes { from: Point, to: Place }
        InMeters { x: Meters }
        Boxed { x: Box<f64> }
        Defaulted { #[serde(default)] x: f64 }
        Skipping { x: f64, #[serde(skip)] cache: Vec<u8> }
        Aliased { #[serde(rename = "x")] y: f64 }
        List { next: Option<Box<List>> }
        Loop { next: Option<Box<Pool>> }
        Pool { next: Option<Box<Loop>> }
    }
    assert_eq!(
        text::<A>(),
        text::<B>(),
        "names of types and docs are not part of it"
    );
    assert_eq!(
        text::<Twice>(),
        text::<TwoTypes>(),
        "whether two fields share a type is not either"
    );
    assert_eq!(text::<Twice>(), "{from:#1={x:f64},to:#1}");
    for same in [
        text::<InMeters>(),
        text::<Boxed>(),
        text::<Generic<f64>>(),
        text::<Defaulted>(),
        text::<Skipping>(),
        text::<Aliased>(),
    ] {
        assert_eq!(same, text::<Point>());
    }
    assert_eq!(text::<usize>(), text::<u64>());
    assert_eq!(text::<Box<str>>(), text::<String>());
    assert_eq!(text::<HashMap<u8, u8>>(), text::<BTreeMap<u8, u8>>());
    assert_eq!(text::<Vec<u8>>(), text::<HashSet<u8>>());
    assert_eq!(
        text::<List>(),
        text::<Loop>(),
        "one round of a circle more changes nothing"
    );
    assert_eq!(text::<List>(), "#1={next:?#1}");
}

#[test]
fn recursion_ends_wherever_it_goes_through() {
    #[derive(Deserialize)]
    struct Newtype(Option<Box<Newtype>>);
    types! {
        Maps { by_name: HashMap<String, Maps> }
    }
    #[derive(Deserialize)]
    enum Expr {
        Add(Box<Expr>, Box<Expr>),
        Neg { of: Box<Expr> },
        Call(String, Vec<Expr>),
        Other(Box<Stmt>),
        Number(f64),
    }
    #[derive(Deserialize)]
    enum Stmt {
        Loop(Box<Stmt>),
        Eval(Expr),
    }
    #[derive(Deserialize)]
    enum Endless {
        Again(Box<Endless>),
    }
    assert_eq!(text::<Newtype>(), "#1=?#1");
    assert_eq!(text::<Maps>(), "#1={by_name:[str:#1]}");
    assert_eq!(
        text::<Expr>(),
        "#1=<Add(#1*2)|Neg{of:#1}|Call(str,[#1])|Other(#2=<Loop(#2)|Eval(#1)>)|Number(f64)>"
    );
    let endless = Layout::of::<Endless, ()>().unwrap_err();
    assert!(endless.to_string().contains("contains itself"), "{endless}");
}

#[test]
fn every_variant_is_seen_however_deep_and_however_many() {
    #[derive(Deserialize)]
    enum Side {
        Left,
        Right(Option<Inner>),
    }
    #[derive(Deserialize)]
    enum Inner {
        A,
        B(Vec<Innermost>),
    }
    #[derive(Deserialize)]
    enum Innermost {
        C,
        D(HashMap<Key, u8>),
    }
    #[derive(Deserialize, PartialEq, Eq, Hash)]
    enum Key {
        E,
        F(u64),
    }
    assert_eq!(
        text::<(Side, Side)>(),
        "(<Left|Right(?<A|B([<C|D([<E|F(u64)>:u8])>])>)>*2)"
    );
}

#[test]
fn types_that_check_their_values_are_tried_with_others() {
    #[derive(Deserialize)]
    #[serde(try_from = "(u32, u32)")]
    struct Range;
    impl TryFrom<(u32, u32)> for Range {
        type Error = String;
        fn try_from((from, to): (u32, u32)) -> Result<Self, String> {
            if from < to {
                Ok(Self)
            } else {
                Err("a range is empty".to_owned())
            }
        }
    }
    #[derive(Deserialize)]
    #[serde(try_from = "String")]
    struct Url;
    impl TryFrom<String> for Url {
        type Error = String;
        fn try_from(text: String) -> Result<Self, String> {
            if text.starts_with("http://") {
                Ok(Self)
            } else {
                Err("not a URL".to_owned())
            }
        }
    }
    #[derive(Deserialize)]
    #[serde(try_from = "Vec<u8>")]
    struct NonEmpty;
    impl TryFrom<Vec<u8>> for NonEmpty {
        type Error = String;
        fn try_from(list: Vec<u8>) -> Result<Self, String> {
            if list.is_empty() {
                Err("empty".to_owned())
            } else {
                Ok(Self)
            }
        }
    }
    #[derive(Deserialize)]
    #[serde(try_from = "u8")]
    struct Never;
    impl TryFrom<u8> for Never {
        type Error = String;
        fn try_from(_: u8) -> Result<Self, String> {
            Err("never".to_owned())
        }
    }
    types! { All { count: NonZeroU8, range: Range, url: Url, lists: Vec<NonEmpty>, last: NonEmpty } }
    assert_eq!(
        text::<All>(),
        "{count:u8,range:(u32*2),url:str,lists:[[u8]],last:[u8]}"
    );
    let never = Layout::of::<Never, ()>().unwrap_err().to_string();
    assert!(
        never.contains("none of the values") && never.contains("never"),
        "{never}"
    );
}

#[test]
fn what_bincode_cannot_carry_is_untraceable_and_says_so() {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        A(u8),
        B(String),
    }
    #[derive(Deserialize)]
    #[serde(tag = "kind")]
    enum Internal {
        A { a: u8 },
    }
    #[derive(Deserialize)]
    struct Value(serde_json::Value);
    types! {
        Flattened { #[serde(flatten)] more: HashMap<String, u8> }
    }
    for result in [
        Layout::of::<Untagged, ()>(),
        Layout::of::<Internal, ()>(),
        Layout::of::<(), Flattened>(),
        Layout::of::<Vec<Value>, ()>(),
    ] {
        let error = result.unwrap_err().to_string();
        assert!(error.contains("only as JSON"), "{error}");
    }
}

#[test]
fn the_first_difference_is_named_with_its_path() {
    types! {
        Pose { x_m: f64, y_m: f64 }
        Single { x_m: f64, y_m: f32 }
        Goal { id: u32, pose: Pose, tags: Vec<String> }
        Single2 { id: u32, pose: Single, tags: Vec<String> }
        Missing { id: u32, pose: Pose }
        Order { pose: Pose, id: u32, tags: Vec<String> }
        Called { id: u32, place: Pose, tags: Vec<String> }
        Chars { id: u32, pose: Pose, tags: Vec<char> }
        Lists { of: HashMap<String, Vec<Goal>> }
        Lists2 { of: HashMap<String, Vec<Chars>> }
    }
    #[derive(Deserialize)]
    enum State {
        Idle,
        Busy(Pose),
    }
    #[derive(Deserialize)]
    enum Empty {
        Idle,
        Busy,
    }
    fn diff<A: DeserializeOwned, B: DeserializeOwned>() -> String {
        let (a, b) = (
            Layout::of::<A, ()>().unwrap(),
            Layout::of::<B, ()>().unwrap(),
        );
        assert_eq!(Layout::first_difference(a.text(), a.text()), None);
        Layout::first_difference(a.text(), b.text()).unwrap()
    }
    assert_eq!(
        diff::<Goal, Single2>(),
        "`pose.y_m` of the message is f64 here and f32 there"
    );
    assert_eq!(
        diff::<Goal, Missing>(),
        "the message has the field `tags` only here"
    );
    assert_eq!(
        diff::<Missing, Goal>(),
        "the message has the field `tags` only there"
    );
    assert_eq!(
        diff::<Goal, Order>(),
        "the fields of the message are in another order: field 1 is `id` here and `pose` there"
    );
    assert_eq!(
        diff::<Goal, Called>(),
        "field 2 of the message is `pose` here and `place` there"
    );
    assert_eq!(
        diff::<Lists, Lists2>(),
        "`of[..][..].tags[..]` of the message is a text here and char there"
    );
    assert_eq!(
        diff::<State, Empty>(),
        "`::Busy` of the message has a struct of {x_m, y_m} in it here and has nothing in it there"
    );
    assert_eq!(
        diff::<u8, Pose>(),
        "the message is u8 here and a struct of {x_m, y_m} there"
    );
    let (a, b) = (
        Layout::of::<(), u8>().unwrap(),
        Layout::of::<(), u16>().unwrap(),
    );
    assert_eq!(
        Layout::first_difference(a.text(), b.text()).unwrap(),
        "the reply is u8 here and u16 there"
    );
}

#[test]
fn a_text_that_is_cut_or_hostile_is_still_compared() {
    let ours = Layout::of::<(u8, Vec<String>), ()>().unwrap();
    for theirs in [
        "",
        "(u8,[str",
        "#1=#1 -> ()",
        "#1 -> ()",
        "(u8*99999999999) -> ()",
        "(u8*999999) -> ()",
        &"?".repeat(100_000),
        &"(".repeat(100_000),
        "{\"a\\\"b\":u8} -> ()",
        "ünïcode",
    ] {
        let text = Layout::first_difference(ours.text(), theirs).unwrap();
        assert!(!text.is_empty() && text.len() < 300, "{text}");
    }
}

#[test]
fn odd_names_are_quoted_so_that_two_layouts_never_share_a_text() {
    types! {
        Odd { #[serde(rename = "a:u8,b")] a: u8 }
        Plain { a: u8, b: u8 }
        Quote { #[serde(rename = "a\"")] a: u8 }
    }
    assert_eq!(text::<Odd>(), "{\"a:u8,b\":u8}");
    assert_eq!(text::<Quote>(), "{\"a\\\"\":u8}");
    assert_ne!(text::<Odd>(), text::<Plain>());
    let (a, b) = (
        Layout::of::<Odd, ()>().unwrap(),
        Layout::of::<Quote, ()>().unwrap(),
    );
    assert_eq!(
        Layout::first_difference(a.text(), b.text()).unwrap(),
        "field 1 of the message is `a:u8,b` here and `a\"` there"
    );
}

fn byte_buf<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    struct Buf;
    impl serde::de::Visitor<'_> for Buf {
        type Value = Vec<u8>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bytes")
        }
        fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
            Ok(bytes)
        }
    }
    deserializer.deserialize_byte_buf(Buf)
}

proptest! {
    #[test]
    fn any_text_can_be_compared(theirs in r#"[#=?()\[\]{}<>|,:*12ua8 "\\-]{0,40}"#) {
        let ours = "{a:u8,b:#1=<A|B(#1)>,c:#1} -> (u8*3)";
        let text = Layout::first_difference(ours, &theirs);
        prop_assert!(text.is_some());
        let text = Layout::first_difference(&theirs, ours);
        prop_assert!(text.is_some());
        // Half of a good text with something else behind it, too.
        let text = format!("{}{theirs}", &ours[..ours.len().min(theirs.len() + 3)]);
        let _ = Layout::first_difference(ours, &text);
    }
}
