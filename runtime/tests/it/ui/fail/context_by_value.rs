use botzilla::prelude::*;

#[botzilla::message]
struct Stop;

#[botzilla::message]
struct Go;

struct Drive;

#[botzilla::component]
impl Drive {
    #[botzilla::handler]
    fn stop(&mut self, _: Stop, _ctx: Ctx<Self>) {}

    #[botzilla::handler]
    fn go(&mut self, _: Go, _ctx: &Ctx) {}
}

fn main() {}
