#[botzilla::message]
struct Command;

struct Drive;

#[botzilla::component]
impl Drive {
    #[botzilla::handler(expect_every = "200ms", missed = stop_motor)]
    fn command(&mut self, _: Command) {}

    fn stop_motors(&mut self) {}
}

fn main() {}
