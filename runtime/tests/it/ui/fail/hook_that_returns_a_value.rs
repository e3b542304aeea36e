struct Drive;

#[botzilla::component]
impl Drive {
    #[botzilla::on_start]
    fn start(&mut self) -> bool {
        true
    }
}

fn main() {}
