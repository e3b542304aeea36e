//! Payloads of both encodings into all kinds of types. What is taken says the same once it is encoded again,
//! and in the other encoding; nothing aborts, spins or takes memory beyond its limits.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use arbitrary::Unstructured;
use botzilla::directory::messages::{List, Register, RegisterReply, WatchReply};
use botzilla_wire::{
    Blob, Encoding, Limits,
    encoding::{decode, decode_shared, encode},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::pair::limits;

/// It goes as deep as its bytes say.
#[derive(Debug, Serialize, Deserialize)]
enum Tree {
    Leaf(u8),
    List(Vec<Self>),
    Pair(Box<Self>, Box<Self>),
    Named {
        left: Option<Box<Self>>,
        note: String,
    },
    Keyed(BTreeMap<u8, Self>),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Numbers {
    small: (u8, i8, u16, i16),
    large: (u32, i32, u64, i64),
    huge: (u128, i128),
    real: (f32, f64),
    other: (bool, char, ()),
}

#[derive(Debug, Serialize, Deserialize)]
struct Wrapped(String);

#[derive(Debug, Serialize, Deserialize)]
struct Marker;

#[derive(Debug, Serialize, Deserialize)]
enum Kinds {
    Unit,
    Newtype(Wrapped),
    Tuple(u8, Option<Option<bool>>),
    Struct { marker: Marker, span: Duration },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mixed {
    text: String,
    kinds: Vec<Kinds>,
    fixed: [u16; 3],
    by_name: BTreeMap<String, Option<f64>>,
    by_number: BTreeMap<i16, Vec<u8>>,
    address: Option<SocketAddr>,
    #[serde(default)]
    late: Option<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Image {
    width: u32,
    pixels: Blob,
    thumbnails: Vec<Blob>,
}

/// Whether a type's JSON can say all that its bincode says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Json {
    Same,
    /// `Option<Option<_>>` and the like collapse.
    Less,
}

fn check<T: Serialize + DeserializeOwned>(
    from: Encoding,
    bytes: &[u8],
    json: Json,
    limits: &Limits,
) {
    let Ok(value) = decode::<T>(from, bytes, limits) else {
        return;
    };
    let mut again = Vec::new();
    if encode(from, &value, &mut again).is_err() {
        assert_eq!(
            from,
            Encoding::Bincode,
            "JSON took a value that it can't say"
        );
        return;
    }
    let back: T = decode(from, &again, limits).expect("what was decoded and encoded decodes");
    let mut third = Vec::new();
    encode(from, &back, &mut third).unwrap();
    assert_eq!(again, third, "it changed on its way");
    if from == Encoding::Bincode {
        assert!(
            again.len() <= bytes.len(),
            "the shortest form is the longer one"
        );
    }
    // And over the other encoding.
    let to = match from {
        Encoding::Bincode => Encoding::Json,
        _ => Encoding::Bincode,
    };
    let mut other = Vec::new();
    if json == Json::Less || encode(to, &value, &mut other).is_err() {
        return;
    }
    let roomy = Limits::default();
    let over: T = decode(to, &other, &roomy).expect("what one encoding says the other reads");
    let mut fourth = Vec::new();
    encode(from, &over, &mut fourth).unwrap();
    assert_eq!(again, fourth, "it changed in the other encoding");
}

fn image(bytes: &[u8], encoding: Encoding, limits: &Limits) {
    let shared = Bytes::copy_from_slice(bytes);
    let apart = decode::<Image>(encoding, bytes, limits);
    let together = decode_shared::<Image>(encoding, &shared, limits);
    match (apart, together) {
        (Ok(apart), Ok(together)) => {
            assert_eq!(apart.width, together.width);
            assert_eq!(apart.pixels, together.pixels);
            assert_eq!(apart.thumbnails, together.thumbnails);
        }
        (Err(apart), Err(together)) => assert_eq!(apart, together),
        (apart, together) => panic!("{apart:?}, {together:?}"),
    }
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok((which, json, tight)) = input.arbitrary::<(u8, bool, bool)>() else {
        return;
    };
    let bytes = input.bytes(input.len()).unwrap_or_default();
    let from = if json {
        Encoding::Json
    } else {
        Encoding::Bincode
    };
    let limits = &limits(|limits| {
        limits.decoded = 1 << 20;
        if tight {
            limits.decoded = 500;
            limits.nesting = 4;
        }
    });
    match which % 16 {
        0 => check::<Tree>(from, bytes, Json::Same, limits),
        1 => check::<Numbers>(from, bytes, Json::Same, limits),
        2 => check::<Mixed>(from, bytes, Json::Less, limits),
        3 => check::<Vec<()>>(from, bytes, Json::Same, limits),
        4 => check::<Vec<Vec<Marker>>>(from, bytes, Json::Same, limits),
        5 => check::<BTreeMap<String, String>>(from, bytes, Json::Same, limits),
        6 => {
            // Its order is nobody's: it is only taken in.
            let _ = decode::<HashMap<u64, [u64; 8]>>(from, bytes, limits);
        }
        7 => check::<Option<Option<Option<()>>>>(from, bytes, Json::Less, limits),
        8 => image(bytes, from, limits),
        9 => check::<Register>(from, bytes, Json::Same, limits),
        10 => check::<WatchReply>(from, bytes, Json::Same, limits),
        11 => check::<RegisterReply>(from, bytes, Json::Same, limits),
        12 => check::<(f32, f64, char, String)>(from, bytes, Json::Same, limits),
        13 => check::<BTreeMap<char, (i128, u128)>>(from, bytes, Json::Same, limits),
        14 => check::<List>(from, bytes, Json::Same, limits),
        _ => check::<Vec<Kinds>>(from, bytes, Json::Less, limits),
    }
}
