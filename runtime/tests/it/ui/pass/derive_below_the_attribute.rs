#[botzilla::data]
#[derive(Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
struct Odometry {
    #[serde(rename = "x")]
    x_m: f64,
}

fn main() {
    assert_eq!(Odometry { x_m: 0.5 }.x_m, 0.5);
}
