#[botzilla::message]
struct Command;

#[botzilla::message]
struct Heartbeat;

#[botzilla::message]
struct Stop;

#[botzilla::message]
struct Ping;

struct Drive;

#[botzilla::component]
impl Drive {
    #[botzilla::handler(expect_every = "200 parsecs", missed = stop_motors)]
    fn command(&mut self, _: Command) {}

    #[botzilla::handler(expect_every = "0s", missed = stop_motors)]
    fn heartbeat(&mut self, _: Heartbeat) {}

    #[botzilla::handler(expect_every = "200ms")]
    fn stop(&mut self, _: Stop) {}

    #[botzilla::handler(missed = stop_motors, expect_every = 200)]
    fn ping(&mut self, _: Ping) {}

    #[botzilla::handler(stream = "lidar/scan", missed = stop_motors)]
    fn on_scan(&mut self, _: &u8) {}

    fn stop_motors(&mut self) {}
}

fn main() {}
