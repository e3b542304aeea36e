#[botzilla::message]
struct Stop;

#[botzilla::message]
struct Go;

struct Drive;

#[botzilla::component]
impl Drive {
    #[botzilla::handler]
    fn stop(&mut self, _stop: Stop, _go: Go) {}
}

fn main() {}
