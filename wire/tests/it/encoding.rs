use std::collections::{BTreeMap, HashMap};

use botzilla_wire::{
    encoding::{DecodeError, Encoding, decode, encode},
    limits::Limits,
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

fn bytes_of<T: Serialize>(encoding: Encoding, value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    encode(encoding, value, &mut out).unwrap();
    out
}

fn bincode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    decode(Encoding::Bincode, bytes, &Limits::default())
}

fn json<T: DeserializeOwned>(text: &str) -> Result<T, DecodeError> {
    decode(Encoding::Json, text.as_bytes(), &Limits::default())
}

/// A length as bincode writes it: 0xfd and eight bytes.
fn claim(len: u64) -> Vec<u8> {
    let mut bytes = vec![0xfd];
    bytes.extend(len.to_le_bytes());
    bytes
}

fn refused<T: DeserializeOwned>(bytes: &[u8], why: &str) {
    let error = bincode::<T>(bytes).err().map(|error| error.to_string());
    let error = error.expect("it must be refused");
    assert!(error.contains(why), "{error}");
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Tree {
    Leaf,
    Node(Box<Self>),
    Pair { left: Box<Self>, right: Box<Self> },
    List(Vec<Self>),
}

#[derive(Debug, Serialize, Deserialize)]
struct Chain(Option<Box<Self>>);

#[test]
fn a_megabyte_of_recursion_is_refused_long_before_the_stack_ends() {
    refused::<Tree>(&vec![1; 1 << 20], "nests too deep");
    refused::<Tree>(&vec![3; 1 << 20], "nests too deep");
    refused::<Chain>(&vec![1; 1 << 20], "nests too deep");
    let text = "[".repeat(1 << 20);
    let error = json::<serde_json::Value>(&text).unwrap_err().to_string();
    assert!(error.contains("nests too deep"), "{error}");
}

#[test]
fn nesting_is_taken_up_to_its_limit_and_counted_alike_in_both_encodings() {
    fn node(inner: Tree) -> Tree {
        Tree::Node(Box::new(inner))
    }
    fn pair(inner: Tree) -> Tree {
        Tree::Pair {
            left: Box::new(inner),
            right: Box::new(Tree::Leaf),
        }
    }
    fn list(inner: Tree) -> Tree {
        Tree::List(vec![inner])
    }
    type Wrap = fn(Tree) -> Tree;
    // How many levels each of them adds.
    let wraps: [(Wrap, usize); 3] = [(node, 1), (pair, 1), (list, 2)];
    for encoding in [Encoding::Bincode, Encoding::Json] {
        for (wrap, levels) in wraps {
            let tree = (0..30).fold(Tree::Leaf, |tree, _| wrap(tree));
            let bytes = bytes_of(encoding, &tree);
            let mut limits = Limits::default();
            limits.nesting = 30 * levels + 1;
            assert_eq!(decode::<Tree>(encoding, &bytes, &limits).unwrap(), tree);
            limits.nesting -= 1;
            let error = decode::<Tree>(encoding, &bytes, &limits)
                .unwrap_err()
                .to_string();
            assert!(error.contains("nests too deep"), "{error}");
        }
    }
}

#[test]
fn nothing_can_claim_more_than_it_brings() {
    refused::<Vec<()>>(&claim(1 << 60), "claims");
    refused::<Vec<()>>(&claim(u64::MAX), "claims");
    refused::<Vec<u64>>(&claim(1 << 40), "claims");
    refused::<String>(&claim(1 << 62), "ends too early");
    refused::<Vec<String>>(&[vec![2], claim(1 << 62)].concat(), "ends too early");
    refused::<HashMap<u64, u64>>(&claim(1 << 40), "claims");
    refused::<HashMap<(), ()>>(&claim(1 << 60), "claims");
    refused::<BTreeMap<String, Vec<()>>>(&[&[1, 1, b'a'][..], &claim(1 << 60)].concat(), "claims");
    // Many small claims are added up: each inner one would be allowed alone.
    let mut bytes = claim(1 << 16);
    bytes.extend([[0xfb, 0, 4]; 1 << 16].concat());
    refused::<Vec<Vec<()>>>(&bytes, "claims");
}

#[test]
fn elements_that_are_small_on_the_wire_and_large_in_memory_are_bounded() {
    let mut bytes = claim(1 << 20);
    bytes.extend(vec![0; 1 << 20]);
    refused::<Vec<Option<[u64; 32]>>>(&bytes, "memory");
    let text = format!("[{}null]", "null,".repeat(1 << 20));
    let error = json::<Vec<Option<[u64; 32]>>>(&text)
        .unwrap_err()
        .to_string();
    assert!(error.contains("memory"), "{error}");
    assert_eq!(bincode::<Vec<Option<u8>>>(&bytes).unwrap().len(), 1 << 20);
}

#[test]
fn a_few_elements_of_size_zero_are_fine() {
    let units = vec![(); 5];
    assert_eq!(
        bincode::<Vec<()>>(&bytes_of(Encoding::Bincode, &units)).unwrap(),
        units
    );
}

#[test]
fn bytes_left_over_or_missing_are_an_error() {
    refused::<u8>(&[1, 2], "1 bytes are left over");
    refused::<(u8, u8)>(&[1], "ends too early");
    refused::<u32>(&[0xfc, 1, 2], "ends too early");
    refused::<bool>(&[2], "bool");
    refused::<Option<u8>>(&[2, 0], "option");
    refused::<String>(&[1, 0xff], "UTF-8");
    refused::<u16>(&[0xfc, 1, 0, 0, 0], "too large");
    let error = json::<u8>("1 2").unwrap_err().to_string();
    assert!(error.contains("left over"), "{error}");
}

#[test]
fn integers_and_the_rest_have_these_bytes() {
    fn check<T: Serialize>(value: T, expected: &[u8]) {
        assert_eq!(bytes_of(Encoding::Bincode, &value), expected);
    }
    check(250_u64, &[250]);
    check(251_u16, &[0xfb, 251, 0]);
    check(0x1234_5678_u32, &[0xfc, 0x78, 0x56, 0x34, 0x12]);
    check(u64::MAX, &[0xfd, 255, 255, 255, 255, 255, 255, 255, 255]);
    check(-1_i32, &[1]);
    check(1_i64, &[2]);
    check(200_u8, &[200]);
    check(255_u8, &[255]);
    check(-1_i8, &[255]);
    check(1.5_f32, &[0, 0, 0xc0, 0x3f]);
    check(Some("ab"), &[1, 2, b'a', b'b']);
    check(Tree::Leaf, &[0]);
    check('ä', "ä".as_bytes());
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Pose {
    x_m: f64,
    y_m: f64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Goal {
    pose: Pose,
    tags: Vec<Tag>,
    by_name: HashMap<String, Pose>,
    count: Option<u8>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Tag {
    Plain,
    At { pose: Pose },
    Named(String),
}

#[test]
fn a_json_field_that_the_type_does_not_have_is_an_error_with_its_place() {
    let good = r#"{"pose":{"x_m":1,"y_m":2},"tags":["Plain",{"At":{"pose":{"x_m":1,"y_m":2}}}],"by_name":{"a":{"x_m":1,"y_m":2}}}"#;
    assert_eq!(json::<Goal>(good).unwrap().tags.len(), 2);
    for (text, expected) in [
        (
            good.replacen("\"y_m\":2", "\"y_m\":2,\"z_m\":3", 1),
            "`pose.z_m`: unknown field, the fields are `x_m`, `y_m`",
        ),
        (
            good.replacen("\"count\"", "\"counts\"", 1).replacen(
                "{\"pose\"",
                "{\"cuont\":1,\"pose\"",
                1,
            ),
            "`cuont`: unknown field",
        ),
        (
            good.replace(
                "{\"At\":{\"pose\":{\"x_m\":1,\"y_m\":2}}}",
                "{\"At\":{\"pose\":{\"x_m\":1,\"y_m\":2},\"q\":0}}",
            ),
            "`tags[1].At.q`: unknown field",
        ),
        (
            good.replace("\"a\":{\"x_m\":1", "\"a\":{\"x_m\":\"1\""),
            "`by_name.a.x_m`: invalid type: string \"1\", expected f64 at line 1 column",
        ),
        (
            good.replace("\"Plain\"", "\"Plane\""),
            "unknown variant `Plane`, expected one of `Plain`, `At`, `Named`",
        ),
        (good.replace("\"y_m\":2", "\"y_m\":"), "at line 1 column"),
        (good.replace(",\"y_m\":2", ""), "missing field `y_m`"),
    ] {
        let error = json::<Goal>(&text).unwrap_err().to_string();
        assert!(
            error.contains(expected),
            "{error}\n    should contain {expected}"
        );
    }
}

#[test]
fn json_never_changes_a_float_silently() {
    let pose = |x_m| Pose { x_m, y_m: 0.0 };
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut out = b"before".to_vec();
        let goal = Goal {
            pose: pose(0.0),
            tags: vec![Tag::Plain, Tag::At { pose: pose(bad) }],
            by_name: HashMap::new(),
            count: None,
        };
        let error = encode(Encoding::Json, &goal, &mut out)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("`tags[1].pose.x_m`: JSON can't carry"),
            "{error}"
        );
        assert_eq!(out, b"before", "what was there stays as it was");
        assert!(encode(Encoding::Json, &Some(bad as f32), &mut out).is_err());
        let bytes = bytes_of(Encoding::Bincode, &pose(bad));
        let back: Pose = bincode(&bytes).unwrap();
        assert_eq!(back.x_m.to_bits(), bad.to_bits(), "bincode carries it");
    }
}

#[test]
fn what_bincode_cannot_say_is_an_error_on_both_sides() {
    refused::<serde_json::Value>(&[0], "send it as JSON");
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Everything {
    numbers: (u8, u16, u32, u64, i8, i16, i32, i64),
    wide: (u128, i128),
    floats: (f32, f64),
    text: String,
    char: char,
    flag: bool,
    unit: (),
    maybe: Option<Option<u8>>,
    list: Vec<Option<String>>,
    map: BTreeMap<u16, Vec<bool>>,
    array: [i16; 3],
    tree: Vec<Tree>,
}

fn tree() -> impl Strategy<Value = Tree> {
    Just(Tree::Leaf).prop_recursive(5, 32, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|tree| Tree::Node(Box::new(tree))),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| Tree::Pair {
                left: Box::new(left),
                right: Box::new(right)
            }),
            prop::collection::vec(inner, 0..4).prop_map(Tree::List),
        ]
    })
}

fn everything() -> impl Strategy<Value = Everything> {
    let finite32 = prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL | prop::num::f32::ZERO;
    let finite64 = prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO;
    (
        (
            any::<(u8, u16, u32, u64, i8, i16, i32, i64)>(),
            any::<(u128, i128)>(),
            finite32,
            finite64,
        ),
        (
            any::<String>(),
            any::<char>(),
            any::<bool>(),
            any::<Option<u8>>(),
        ),
        prop::collection::vec(any::<Option<String>>(), 0..8),
        prop::collection::btree_map(
            any::<u16>(),
            prop::collection::vec(any::<bool>(), 0..8),
            0..8,
        ),
        any::<[i16; 3]>(),
        prop::collection::vec(tree(), 0..3),
    )
        .prop_map(
            |((numbers, wide, f32, f64), (text, char, flag, maybe), list, map, array, tree)| {
                Everything {
                    numbers,
                    wide,
                    floats: (f32, f64),
                    text,
                    char,
                    flag,
                    unit: (),
                    // JSON can't tell Some(None) from None.
                    maybe: maybe.map(Some),
                    list,
                    map,
                    array,
                    tree,
                }
            },
        )
}

proptest! {
    #[test]
    fn values_come_back_as_they_were(value in everything()) {
        for encoding in [Encoding::Bincode, Encoding::Json] {
            let bytes = bytes_of(encoding, &value);
            let back: Everything = decode(encoding, &bytes, &Limits::default()).unwrap();
            prop_assert_eq!(&back, &value);
            // One bit of a float more or less would be a silent change.
            prop_assert_eq!(back.floats.0.to_bits(), value.floats.0.to_bits());
            prop_assert_eq!(back.floats.1.to_bits(), value.floats.1.to_bits());
        }
    }

    #[test]
    fn a_prefix_of_a_value_is_no_value(value in everything(), cut in any::<prop::sample::Index>()) {
        for encoding in [Encoding::Bincode, Encoding::Json] {
            let bytes = bytes_of(encoding, &value);
            let cut = &bytes[..cut.index(bytes.len())];
            prop_assert!(decode::<Everything>(encoding, cut, &Limits::default()).is_err());
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = bincode::<Everything>(&bytes);
        let _ = bincode::<Vec<Tree>>(&bytes);
        let _ = bincode::<HashMap<String, Option<Goal>>>(&bytes);
        let _ = decode::<Everything>(Encoding::Json, &bytes, &Limits::default());
    }

    #[test]
    fn damaged_values_never_panic(value in everything(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        for encoding in [Encoding::Bincode, Encoding::Json] {
            let mut bytes = bytes_of(encoding, &value);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = decode::<Everything>(encoding, &bytes, &Limits::default());
        }
    }
}
