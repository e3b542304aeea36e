#[botzilla::data]
#[serde(untagged)]
enum Goal {
    Name(String),
}

#[botzilla::data]
#[serde(tag = "kind")]
enum Shape {
    #[serde(skip)]
    Nothing,
    Circle { radius_m: f64 },
}

#[botzilla::message(reply = Shape)]
struct Plan {
    #[serde(flatten)]
    goal: Goal,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limit_mps: Option<f64>,
    #[serde(skip_serializing)]
    cost: f64,
}

fn main() {}
