//! Vectors of what is inside of frames: bincode's bytes, both encodings, layouts.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Debug,
    net::IpAddr,
    time::Duration,
};

use botzilla_wire::{
    encoding::{Blob, Encoding, decode, encode},
    fingerprint::Layout,
    limits::Limits,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::Vectors;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct SetVelocity {
    linear_mps: f64,
    angular_rps: f64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Odometry {
    x_m: f64,
    y_m: f64,
    heading_rad: f64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Meters(f32);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Marker;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum State {
    Idle,
    Turning(i16),
    Moving { to: Option<Odometry>, by: Meters },
    Failed(u8, String),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Report {
    name: String,
    states: Vec<State>,
    tags: BTreeMap<String, u16>,
    seen: Option<Option<bool>>,
    pair: (u64, char),
    raw: [u8; 3],
    nothing: Marker,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Image {
    width: u32,
    height: u32,
    rgb: Blob,
}

#[derive(Serialize, Deserialize)]
struct Node {
    value: u32,
    children: Vec<Self>,
}

fn both<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    out: &mut Vectors,
    name: &str,
    value: &T,
) {
    out.section(name);
    for encoding in [Encoding::Bincode, Encoding::Json] {
        let mut bytes = Vec::new();
        encode(encoding, value, &mut bytes).unwrap();
        let back: T = decode(encoding, &bytes, &Limits::default()).unwrap();
        assert_eq!(&back, value);
        match encoding {
            Encoding::Bincode => out.hex("bincode", &bytes),
            _ => out.text("json", std::str::from_utf8(&bytes).unwrap()),
        }
    }
}

/// Other forms in JSON that a reader takes for the same value.
fn also<T: DeserializeOwned + PartialEq + Debug>(out: &mut Vectors, value: &T, forms: &[&str]) {
    for form in forms {
        let back: T = decode(Encoding::Json, form.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(&back, value);
        out.text("json that is read", form);
    }
}

#[test]
fn numbers_have_these_bytes() {
    fn one<T: Serialize + Debug>(out: &mut Vectors, value: T) {
        let mut bytes = Vec::new();
        encode(Encoding::Bincode, &value, &mut bytes).unwrap();
        out.hex(&format!("{} {value:?}", std::any::type_name::<T>()), &bytes);
    }
    let mut out = Vectors::new(
        "bincode 2, config::standard(): each kind of number, with its turning points.",
    );
    out.section("unsigned integers; u8 is always one byte");
    for value in [0, 1, 250, 251, 255] {
        one::<u8>(&mut out, value);
    }
    for value in [0, 250, 251, 256, u16::MAX] {
        one(&mut out, value);
    }
    for value in [0, 250, 251, 65_535, 65_536, u32::MAX] {
        one(&mut out, value);
    }
    for value in [
        0,
        250,
        251,
        65_535,
        65_536,
        4_294_967_295,
        4_294_967_296,
        u64::MAX,
    ] {
        one(&mut out, value);
    }
    for value in [
        0,
        250,
        251,
        u128::from(u64::MAX),
        u128::from(u64::MAX) + 1,
        u128::MAX,
    ] {
        one(&mut out, value);
    }
    out.section("signed integers, in zigzag; i8 is always one byte, two's complement");
    for value in [0, 1, -1, i8::MAX, i8::MIN] {
        one(&mut out, value);
    }
    for value in [0, 1, -1, 125, -125, -126, i16::MAX, i16::MIN] {
        one(&mut out, value);
    }
    for value in [0, -1, 1_000_000, i32::MAX, i32::MIN] {
        one(&mut out, value);
    }
    for value in [0, -1, i64::MAX, i64::MIN] {
        one(&mut out, value);
    }
    for value in [0, -1, i128::MAX, i128::MIN] {
        one(&mut out, value);
    }
    out.section("the rest");
    one(&mut out, 1.5_f32);
    one(&mut out, -0.0_f64);
    one(&mut out, f64::NAN);
    one(&mut out, true);
    one(&mut out, 'ä');
    one(&mut out, '🤖');
    out.section("byte strings: their length, and the bytes as they are");
    for len in [0, 1, 3, 251] {
        let mut bytes = Vec::new();
        encode(Encoding::Bincode, &Blob::from(vec![0xb5; len]), &mut bytes).unwrap();
        out.hex(&format!("byte string, {len} of b5"), &bytes);
    }
    out.check("bincode.txt");
}

#[test]
fn values_have_these_encodings() {
    let mut out = Vectors::new("Values in both encodings. Their layouts are in fingerprints.txt.");
    both(
        &mut out,
        "SetVelocity",
        &SetVelocity {
            linear_mps: 0.4,
            angular_rps: -1.0,
        },
    );
    both(&mut out, "empty", &());
    both(&mut out, "text", &"Grüße 🤖".to_owned());
    both(&mut out, "long text", &"x".repeat(251));
    both(
        &mut out,
        "string map",
        &BTreeMap::from([
            ("a".to_owned(), "1".to_owned()),
            ("b".to_owned(), String::new()),
        ]),
    );
    both(
        &mut out,
        "map with numbers as keys",
        &BTreeMap::from([(1_u16, true), (300, false)]),
    );
    both(&mut out, "handler's Ok", &Ok::<u8, String>(7));
    both(
        &mut out,
        "handler's Err",
        &Err::<u8, String>("no".to_owned()),
    );
    both(&mut out, "duration", &Duration::new(5, 250));
    // Of three bytes base64 has no padding, of two one `=`, of one two.
    for (name, bytes, forms) in [
        ("byte string, none", &[][..], &["[]"][..]),
        ("byte string, one", &[0xfb], &[r#""+w""#, "[251]"]),
        (
            "byte string, two",
            &[0xff, 0xfe],
            &[r#""//4""#, "[255, 254]"],
        ),
        ("byte string, three", &[0, 1, 0xff], &["[0, 1, 255]"]),
    ] {
        let blob = Blob::from(bytes);
        both(&mut out, name, &blob);
        also(&mut out, &blob, forms);
    }
    out.section("what isn't base64 in a string, or isn't a byte, is no byte string");
    for form in [
        r#""+x""#,
        r#""-_8=""#,
        r#""AAE =""#,
        r#""A""#,
        "[256]",
        "[-1]",
        "7",
        "null",
    ] {
        decode::<Blob>(Encoding::Json, form.as_bytes(), &Limits::default()).unwrap_err();
        out.text("json that is refused", form);
    }
    let image = Image {
        width: 2,
        height: 1,
        rgb: Blob::from(vec![255, 0, 0, 0, 255, 0]),
    };
    both(&mut out, "Image", &image);
    both(
        &mut out,
        "Report",
        &Report {
            name: "drive".to_owned(),
            states: vec![
                State::Idle,
                State::Turning(-300),
                State::Moving {
                    to: Some(Odometry {
                        x_m: 1.0,
                        y_m: 2.0,
                        heading_rad: 0.1,
                    }),
                    by: Meters(0.5),
                },
                State::Moving {
                    to: None,
                    by: Meters(1e-3),
                },
                State::Failed(3, "stuck".to_owned()),
            ],
            tags: BTreeMap::from([("left".to_owned(), 1), ("right".to_owned(), 70)]),
            seen: Some(Some(true)),
            pair: (1 << 40, 'z'),
            raw: [0, 128, 255],
            nothing: Marker,
        },
    );
    out.check("encodings.txt");
}

#[test]
fn layouts_have_these_texts_and_fingerprints() {
    fn layout<M: DeserializeOwned, R: DeserializeOwned>(out: &mut Vectors, name: &str) {
        let layout = Layout::of::<M, R>().unwrap();
        out.section(name);
        out.text("layout", layout.text());
        out.text("fingerprint", &layout.fingerprint().to_string());
    }
    let mut out = Vectors::new(
        "Layouts as `message -> reply`, and their fingerprints: the first 8 bytes of SHA-256 of the text.",
    );
    layout::<SetVelocity, Odometry>(&mut out, "SetVelocity, replied to by Odometry");
    layout::<Report, ()>(&mut out, "Report");
    layout::<State, Result<State, String>>(&mut out, "State, replied to by Result<State, String>");
    layout::<Node, Option<Node>>(&mut out, "recursive");
    layout::<HashMap<String, String>, HashMap<String, String>>(&mut out, "string maps");
    layout::<(u8, i16, u32, i64, u128, f32), (bool, char, [u8; 16])>(&mut out, "tuples");
    layout::<Duration, IpAddr>(&mut out, "types of the standard library");
    layout::<(), ()>(&mut out, "nothing");
    layout::<Blob, Blob>(&mut out, "byte strings");
    layout::<Image, ()>(&mut out, "Image, an item of a stream");
    out.check("fingerprints.txt");
}
