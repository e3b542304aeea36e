#[botzilla::message]
struct Stop;

struct Drive;

#[botzilla::component]
impl Drive {
    #[botzilla::handler(abort)]
    fn stop(&mut self, _: Stop) {}
}

fn main() {}
