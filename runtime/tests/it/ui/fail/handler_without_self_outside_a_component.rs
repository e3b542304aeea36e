#[botzilla::message]
struct Stop;

struct Drive;

impl Drive {
    #[botzilla::handler]
    async fn stop(_: Stop) {}
}

fn main() {}
