#[botzilla::message]
fn stop() {}

#[botzilla::data]
union Number {
    float: f64,
}

#[botzilla::component]
struct Drive;

#[botzilla::handler]
struct Stop;

fn main() {}
