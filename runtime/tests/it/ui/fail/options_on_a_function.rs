#[botzilla::message]
struct Stop;

#[botzilla::handler(broadcast, urgent)]
async fn stop(_: Stop) {}

fn main() {}
