#[botzilla::message]
struct Say<'a> {
    text: &'a str,
}

fn main() {}
