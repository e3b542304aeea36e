struct Stop;

struct Drive;

#[botzilla::component]
impl Drive {
    #[botzilla::handler]
    async fn stop(_: Stop) {}
}

fn main() {}
