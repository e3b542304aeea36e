#[botzilla::message]
#[botzilla::data]
struct Stop;

fn main() {}
