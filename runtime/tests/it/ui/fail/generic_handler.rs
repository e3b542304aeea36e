use botzilla::Message;

struct Drive;

#[botzilla::component]
impl Drive {
    #[botzilla::handler]
    fn any<M: Message>(&mut self, _: M) {}

    #[botzilla::handler]
    fn some(&mut self, _: impl Message) {}
}

fn main() {}
