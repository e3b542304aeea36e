#[botzilla::message(reply = u8, reply = u16)]
struct SetVelocity;

struct Drive;

#[botzilla::component(groups = ["base"], groups = ["all"])]
impl Drive {
    #[botzilla::handler(urgent, broadcast, urgent)]
    fn set_velocity(&mut self, _: SetVelocity) -> u8 {
        0
    }
}

fn main() {}
