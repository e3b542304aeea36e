use botzilla::prelude::*;

struct Drive;

#[botzilla::component]
impl Drive {
    #[botzilla::handler]
    fn stop(&mut self) {}

    #[botzilla::handler]
    async fn go(&mut self, _ctx: &Ctx<Self>) {}
}

#[botzilla::handler]
fn ping() {}

fn main() {}
