#[botzilla::message(name = "go home")]
struct GoHome;

#[botzilla::message(name = "")]
struct Stop;

struct Drive;

#[botzilla::component(groups = ["the base", "all", "all"])]
impl Drive {}

fn main() {}
