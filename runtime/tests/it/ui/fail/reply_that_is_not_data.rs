struct Odometry;

#[botzilla::message(reply = Odometry)]
struct SetVelocity {
    linear_mps: f64,
}

fn main() {}
