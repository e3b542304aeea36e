#[botzilla::message]
struct Stop;

#[botzilla::message]
struct Go;

struct Drive;

#[botzilla::component]
impl Drive {
    #[botzilla::handler]
    fn stop(self, _: Stop) {}

    #[botzilla::handler]
    async fn go(self: Box<Self>, _: Go) {}
}

fn main() {}
