#[botzilla::main]
fn main() {}
