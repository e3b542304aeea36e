//! The botzilla command line.
fn main() {}
