use botzilla::{Ctx, RestartReason};

struct Drive;

#[botzilla::component]
impl Drive {
    #[botzilla::on_restart]
    fn again(&mut self, _ctx: &Ctx<Self>, _reason: RestartReason) {}

    #[botzilla::on_restart]
    fn and_again(&mut self, _reason: &RestartReason) {}
}

fn main() {}
