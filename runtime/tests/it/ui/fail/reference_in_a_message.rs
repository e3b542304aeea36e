#[botzilla::message]
struct Say {
    text: &'static str,
}

fn main() {}
