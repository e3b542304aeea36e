//! libFuzzer's program for [`botzilla_fuzz::bulk_frames`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| botzilla_fuzz::bulk_frames::run(data));

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("run it with `cargo +nightly fuzz run bulk_frames`, see docs/fuzzing.md");
}
