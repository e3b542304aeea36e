#[botzilla::message]
struct Stop;

trait Stops {
    fn stop(&mut self, _: Stop);
}

struct Drive;

#[botzilla::component]
impl Stops for Drive {
    #[botzilla::handler]
    fn stop(&mut self, _: Stop) {}
}

struct Arm;

impl Stops for Arm {
    #[botzilla::handler]
    fn stop(&mut self, _: Stop) {}
}

fn main() {}
