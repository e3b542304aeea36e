#[botzilla::message]
struct Stop;

struct Drive;

#[botzilla::component]
impl Drive {
    #[botzilla::on_start]
    fn start(&mut self, _: Stop) {}

    #[botzilla::on_start]
    fn start_again(self) {}

    #[botzilla::on_stop]
    fn stop(&mut self) -> Result<(), String> {
        Ok(())
    }
}

fn main() {}
