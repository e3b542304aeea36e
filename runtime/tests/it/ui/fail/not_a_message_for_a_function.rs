#[botzilla::data]
struct Ping;

#[botzilla::handler]
async fn ping(_: Ping) {}

fn main() {}
