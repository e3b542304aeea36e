use botzilla::prelude::*;

#[botzilla::data]
pub struct Scan {
    pub ranges_m: Vec<f32>,
}

struct Planner;

#[botzilla::component]
impl Planner {
    #[botzilla::handler(stream = "lidar/scan")]
    fn on_scan(&mut self, scan: Scan) {
        drop(scan);
    }

    #[botzilla::handler(stream = "lidar/scan")]
    async fn on_scan_later(&mut self, scan: Scan, _: &Ctx<Self>) {
        drop(scan);
    }

    // All of these are fine.
    #[botzilla::handler(stream = "lidar/scan")]
    fn on_borrowed(&mut self, _: &Scan) {}

    #[botzilla::handler(stream = "lidar/scan")]
    fn on_shared(&mut self, _: std::sync::Arc<Scan>) {}

    #[botzilla::handler(stream = "lidar/scan")]
    fn on_item(&mut self, _: Item<Scan>) {}

    #[botzilla::handler(stream = "lidar/scan")]
    fn on_borrowed_item(&mut self, _: &Item<Scan>) {}
}

fn main() {}
