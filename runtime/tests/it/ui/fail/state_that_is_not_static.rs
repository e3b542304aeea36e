#[botzilla::message]
struct Stop;

struct Drive<'a> {
    port: &'a str,
}

#[botzilla::component]
impl<'a> Drive<'a> {
    #[botzilla::handler]
    fn stop(&mut self, _: Stop) {}
}

struct Lidar<T>(T);

#[botzilla::component]
impl<T> Lidar<T> {
    #[botzilla::handler]
    fn stop(&mut self, _: Stop) {}
}

fn uses<C: botzilla::Component>(_: impl Fn() -> C) {}

fn main() {
    uses(|| Drive { port: "/dev/ttyUSB0" });
    uses(|| Lidar("/dev/ttyUSB1"));
}
