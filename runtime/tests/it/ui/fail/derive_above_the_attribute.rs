#[derive(serde::Serialize)]
#[botzilla::data]
struct Odometry {
    x_m: f64,
}

fn main() {}
