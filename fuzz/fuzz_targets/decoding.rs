//! libFuzzer's program for [`botzilla_fuzz::decoding`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| botzilla_fuzz::decoding::run(data));

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("run it with `cargo +nightly fuzz run decoding`, see docs/fuzzing.md");
}
