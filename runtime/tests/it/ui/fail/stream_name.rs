#[botzilla::data]
#[derive(Clone)]
struct Scan {
    ranges_m: Vec<f32>,
}

struct Planner;

#[botzilla::component]
impl Planner {
    #[botzilla::handler(stream = "scan")]
    fn bare(&mut self, _: Scan) {}

    #[botzilla::handler(stream = "lidar scan/raw")]
    fn spaced(&mut self, _: Scan) {}
}

fn main() {}
