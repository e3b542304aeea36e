#[botzilla::message(reply = T)]
struct Get<T, const N: usize> {
    values: [T; N],
}

fn main() {}
