//! A broadcast to a group, and its report.
//!
//! `cargo run -p botzilla-examples --example group_broadcast`

use std::time::Duration;
#[botzilla::message]
struct Dim {
    percent: u8,
}

#[botzilla::message(reply = u8)]
struct GetPercent {}

struct Lamp {
    percent: u8,
}

// Every lamp is in this group; a component may be in many.
#[botzilla::component(groups = ["lamps"])]
impl Lamp {
    // Only handlers that say so hear broadcasts.
    #[botzilla::handler(broadcast)]
    fn dim(&mut self, msg: Dim) {
        self.percent = msg.percent;
    }

    #[botzilla::handler]
    fn get_percent(&mut self, _: GetPercent) -> u8 {
        self.percent
    }
}

struct Switch;

#[botzilla::component(groups = ["lamps"])]
impl Switch {
    #[botzilla::handler]
    fn get_percent(&mut self, _: GetPercent) -> u8 {
        0
    }
}

#[botzilla::main]
async fn main() -> botzilla::Result<()> {
    let node = botzilla_examples::node().await?;
    for name in ["lamp/kitchen", "lamp/hall"] {
        node.spawn(name, || Lamp { percent: 100 }).await?;
    }
    // For this one, a group besides that of its attribute.
    node.spawn("lamp/sofa", || Lamp { percent: 100 })
        .groups(["living-room"])
        .await?;
    node.spawn("switch", || Switch).await?;

    // `to_the_end`: wait until the handlers ran, not only until the message is in their queues.
    let report = node
        .broadcast(Dim { percent: 30 })
        .group("lamps")
        .to_the_end()
        .await?;
    println!("delivered to {}", report.delivered.join(", "));
    println!(
        "ignored by   {} (it has no such handler)",
        report.ignored.join(", ")
    );

    let report = node
        .broadcast(Dim { percent: 5 })
        .group("living-room")
        .to_the_end()
        .await?;
    println!("delivered to {}", report.delivered.join(", "));

    // Without a group it goes to everybody. Whoever should have heard it and did not is named.
    let report = node.broadcast(Dim { percent: 0 }).to_the_end().await?;
    println!(
        "delivered to {}, complete: {}",
        report.delivered.len(),
        report.is_complete()
    );

    let hall = node.component("lamp/hall").ask(GetPercent {}).await?;
    println!("the hall is at {hall} %");
    node.shutdown(Duration::from_secs(1)).await;
    Ok(())
}
