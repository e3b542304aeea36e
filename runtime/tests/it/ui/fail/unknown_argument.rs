#[botzilla::data(name = "Odom")]
struct Odometry;

#[botzilla::message(rely = Odometry)]
struct SetVelocity;

struct Drive;

#[botzilla::component(group = "base")]
impl Drive {
    #[botzilla::handler(urgnt)]
    fn set_velocity(&mut self, _: SetVelocity) {}
}

fn main() {}
