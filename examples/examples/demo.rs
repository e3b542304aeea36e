//! What `botzilla demo` runs, with all that happens.
//!
//! `cargo run -p botzilla-examples --example demo`

use botzilla_examples::demo::{self, DemoOptions};

#[botzilla::main]
async fn main() -> Result<(), demo::DemoError> {
    let mut options = DemoOptions::default();
    options.picture = Some(std::env::temp_dir().join("botzilla-demo.svg"));
    let report = demo::run(&options, |event| println!("{event:?}")).await?;
    println!("{report}");
    Ok(())
}
