#[botzilla::message(reply = u32)]
struct Count;

struct Drive;

#[botzilla::component]
impl Drive {
    #[botzilla::handler]
    async fn count(_: Count) {}
}

#[botzilla::handler]
async fn count(_: Count) -> Result<u32, String> {
    Ok(1)
}

fn main() {}
