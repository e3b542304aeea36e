use botzilla::prelude::*;

#[botzilla::message(rely = u8, name = "")]
#[serde(untagged)]
enum SetVelocity {
    Text(&'static str),
    Number(#[serde(skip_serializing_if = "is_zero")] f64),
}

#[botzilla::message]
struct Stop;

struct Drive;

#[botzilla::component(group = ["base"])]
impl Drive {
    #[botzilla::handler(urgnt)]
    fn set_velocity(self, _: &SetVelocity, _: Ctx<Self>) -> &str {
        "ok"
    }

    #[botzilla::handler]
    fn stop(&mut self, _: Stop) {}

    #[botzilla::handler(abort)]
    fn halt(&mut self, _ctx: &Ctx<Self>, _: Stop) {}

    #[botzilla::on_stop]
    fn stopped(&mut self) -> bool {
        true
    }
}

// What uses the two isn't a mistake.
fn uses<M: Message, C: botzilla::Handler<M>>() {}

fn main() {
    uses::<SetVelocity, Drive>();
    uses::<Stop, Drive>();
}
