#[botzilla::data]
#[derive(Clone)]
struct Scan {
    ranges_m: Vec<f32>,
}

struct Planner;

#[botzilla::component]
impl Planner {
    #[botzilla::handler(stream = "lidar/scan")]
    fn reply(&mut self, _: &Scan) -> u32 {
        7
    }

    #[botzilla::handler(stream = "lidar/scan")]
    async fn beside(_: Scan) {}
}

fn main() {}
