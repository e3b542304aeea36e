#[botzilla::data]
#[derive(Clone)]
struct Scan {
    ranges_m: Vec<f32>,
}

struct Planner;

#[botzilla::component]
impl Planner {
    #[botzilla::handler(stream = "lidar/scan", urgent, broadcast)]
    fn urgent(&mut self, _: Scan) {}

    #[botzilla::handler(stream = "lidar/scan", latest = 0, at_most = 0.0)]
    fn nothing(&mut self, _: Scan) {}

    #[botzilla::handler(latest = 2)]
    fn no_stream(&mut self, _: Ping) {}
}

#[botzilla::message]
struct Ping;

fn main() {}
