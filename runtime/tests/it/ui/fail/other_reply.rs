#[botzilla::message(reply = u32)]
struct Count;

#[botzilla::message]
struct Stop;

struct Drive;

#[botzilla::component]
impl Drive {
    #[botzilla::handler]
    fn count(&mut self, _: Count) -> String {
        String::new()
    }

    #[botzilla::handler]
    async fn stop(&mut self, _: Stop) -> bool {
        true
    }
}

fn main() {}
