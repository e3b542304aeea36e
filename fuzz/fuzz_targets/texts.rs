//! libFuzzer's program for [`botzilla_fuzz::texts`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| botzilla_fuzz::texts::run(data));

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("run it with `cargo +nightly fuzz run texts`, see docs/fuzzing.md");
}
