#[botzilla::message]
struct Stop;

struct Drive;

#[botzilla::component]
impl Drive {
    #[botzilla::handler]
    fn stop(&mut self, _msg: &Stop) {}
}

fn main() {}
