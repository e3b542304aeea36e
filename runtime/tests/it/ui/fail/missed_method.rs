#[botzilla::message]
struct Command;

#[botzilla::message]
struct Heartbeat;

#[botzilla::message]
struct Stop;

#[botzilla::message]
struct Resume;

struct Drive;

#[botzilla::component]
impl Drive {
    #[botzilla::handler(expect_every = "200ms", missed = takes_a_message)]
    fn command(&mut self, _: Command) {}

    #[botzilla::handler(expect_every = "200ms", missed = returns_something)]
    fn heartbeat(&mut self, _: Heartbeat) {}

    #[botzilla::handler(expect_every = "200ms", missed = has_no_state)]
    fn stop(&mut self, _: Stop) {}

    #[botzilla::handler(expect_every = "200ms", missed = has_no_state)]
    fn resume(&mut self, _: Resume) {}

    fn takes_a_message(&mut self, _: Command) {}

    fn returns_something(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn has_no_state() {}
}

#[botzilla::handler(expect_every = "200ms", missed = stop_motors)]
fn free(_: Command) {}

fn main() {}
