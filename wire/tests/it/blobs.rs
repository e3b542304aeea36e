//! Byte strings: one copy in, none out.

use botzilla_wire::{
    encoding::{Blob, Encoding, decode, decode_shared, encode},
    fingerprint::Layout,
    limits::Limits,
};
use bytes::Bytes;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Image {
    width: u32,
    small: Blob,
    rgb: Blob,
    stamp: u64,
}

fn image(len: usize) -> Image {
    Image {
        width: 640,
        small: Blob::from(vec![1, 2, 3]),
        rgb: Blob::from(vec![7; len]),
        stamp: 99,
    }
}

fn encoded(encoding: Encoding, image: &Image) -> Bytes {
    let mut bytes = Vec::new();
    encode(encoding, image, &mut bytes).unwrap();
    bytes.into()
}

#[test]
fn a_large_blob_is_a_part_of_what_it_was_decoded_from_and_a_small_one_keeps_none_of_it() {
    let image = image(1 << 20);
    let bytes = encoded(Encoding::Bincode, &image);
    let limits = Limits::default();
    let shared: Image = decode_shared(Encoding::Bincode, &bytes, &limits).unwrap();
    assert_eq!(shared, image);
    let within = |blob: &Blob| bytes.as_ptr_range().contains(&blob.as_ptr());
    assert!(within(&shared.rgb) && !within(&shared.small));
    assert!(!within(&shared.rgb.detached()));
    let copied: Image = decode(Encoding::Bincode, &bytes, &limits).unwrap();
    assert!(copied == image && !within(&copied.rgb), "nothing is kept");
    drop(bytes);
    assert_eq!(shared.rgb.len(), 1 << 20, "it outlives the buffer's name");
}

#[test]
fn a_decoding_inside_of_another_leaves_the_outer_one_its_buffer() {
    #[derive(Debug, PartialEq)]
    struct Nested(Image);
    impl<'de> Deserialize<'de> for Nested {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let inner = Blob::deserialize(deserializer)?.into_bytes();
            decode_shared(Encoding::Bincode, &inner, &Limits::default())
                .map(Nested)
                .map_err(serde::de::Error::custom)
        }
    }
    let inner = encoded(Encoding::Bincode, &image(100_000));
    let value = (Blob::from(inner.clone()), Blob::from(inner));
    let mut bytes = Vec::new();
    encode(Encoding::Bincode, &value, &mut bytes).unwrap();
    let bytes = Bytes::from(bytes);
    let limits = Limits::default();
    let (nested, blob): (Nested, Blob) = decode_shared(Encoding::Bincode, &bytes, &limits).unwrap();
    let all = bytes.as_ptr_range();
    assert!(all.contains(&nested.0.rgb.as_ptr()) && all.contains(&blob.as_ptr()));
}

#[test]
fn in_json_bytes_are_base64_and_a_list_of_numbers_is_understood() {
    let json = encoded(Encoding::Json, &image(2));
    assert_eq!(
        json,
        br#"{"width":640,"small":"AQID","rgb":"Bwc=","stamp":99}"#[..]
    );
    let read = |text: &str| {
        decode::<Image>(Encoding::Json, text.as_bytes(), &Limits::default())
            .map_err(|error| error.to_string())
    };
    for rgb in ["\"Bwc=\"", "\"Bwc\"", "[7, 7]"] {
        let text = format!(r#"{{"width":640,"small":"AQID","rgb":{rgb},"stamp":99}}"#);
        assert_eq!(read(&text), Ok(image(2)));
    }
    for rgb in ["\"B*c=\"", "[256]", "7"] {
        let error = read(&format!(
            r#"{{"width":640,"small":"","rgb":{rgb},"stamp":9}}"#
        ));
        assert!(error.unwrap_err().contains("`rgb"), "{rgb}");
    }
    let plain = serde_json::to_string(&image(2)).unwrap();
    assert_eq!(plain.as_bytes(), json, "it is the same without our encoder");
    assert_eq!(serde_json::from_str::<Image>(&plain).unwrap(), image(2));
}

#[test]
fn what_serde_takes_for_bytes_has_the_same_forms_as_a_blob() {
    struct Raw(Vec<u8>);
    impl Serialize for Raw {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(&self.0)
        }
    }
    for encoding in [Encoding::Bincode, Encoding::Json] {
        let (mut raw, mut blob) = (Vec::new(), Vec::new());
        encode(encoding, &Raw(vec![0, 1, 255]), &mut raw).unwrap();
        encode(encoding, &Blob::from(vec![0, 1, 255]), &mut blob).unwrap();
        assert_eq!(raw, blob);
    }
}

#[test]
fn a_blob_s_layout_is_bytes() {
    let layout = Layout::of::<Image, ()>().unwrap();
    assert_eq!(
        layout.text(),
        "{width:u32,small:bytes,rgb:bytes,stamp:u64} -> ()"
    );
}

proptest! {
    #[test]
    fn any_bytes_come_back_from_both_encodings_shared_or_not(bytes: Vec<u8>) {
        let blob = Blob::from(bytes);
        for encoding in [Encoding::Bincode, Encoding::Json] {
            let mut out = Vec::new();
            encode(encoding, &blob, &mut out).unwrap();
            let out = Bytes::from(out);
            let limits = Limits::default();
            prop_assert_eq!(&decode::<Blob>(encoding, &out, &limits).unwrap(), &blob);
            prop_assert_eq!(&decode_shared::<Blob>(encoding, &out, &limits).unwrap(), &blob);
        }
    }
}
