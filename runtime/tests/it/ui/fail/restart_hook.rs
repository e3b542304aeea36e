use botzilla::{Ctx, RestartReason};

struct Drive;

#[botzilla::component]
impl Drive {
    #[botzilla::on_restart]
    fn again(&mut self, ctx: &Ctx<Self>, reason: RestartReason) {}

    #[botzilla::on_restart]
    fn and_again(&mut self, reason: &RestartReason) {}
}

fn main() {}
