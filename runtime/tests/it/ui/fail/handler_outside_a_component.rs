#[botzilla::message]
struct Stop;

struct Drive;

impl Drive {
    #[botzilla::handler]
    fn stop(&mut self, _: Stop) {}

    #[botzilla::on_start]
    fn start(&mut self) {}
}

fn main() {}
