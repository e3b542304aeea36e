#[botzilla::message]
struct Stop;

struct Drive;

#[botzilla::component]
impl Drive {
    #[botzilla::handler]
    fn stop(&mut self, _: Stop) {}

    #[botzilla::handler]
    async fn halt(&mut self, _: Stop) {}
}

fn main() {}
