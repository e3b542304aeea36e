#[botzilla::message(reply)]
struct SetVelocity;

#[botzilla::message(name = Stop)]
struct Stop;

struct Drive;

#[botzilla::component(groups)]
impl Drive {
    #[botzilla::handler(urgent = true)]
    fn set_velocity(&mut self, _: SetVelocity) {}
}

fn main() {}
