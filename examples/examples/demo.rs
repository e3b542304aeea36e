//! What `botzilla demo` runs.
//!
//! `cargo run -p botzilla-examples --example demo`

use botzilla_examples::demo::{self, DemoOptions};

#[botzilla::main]
async fn main() -> Result<(), demo::DemoError> {
    let report = demo::run(&DemoOptions::default(), |event| println!("{event:?}")).await?;
    println!("{report}");
    Ok(())
}
