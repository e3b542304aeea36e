//! To be replaced.
fn main() {}
