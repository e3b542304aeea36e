//! A drive that stops its motors when nobody commands it any more, and a planner that hangs.
//!
//! `cargo run -p botzilla-examples --example missed_input`

use std::time::Duration;

use tokio::sync::mpsc;

#[botzilla::message]
struct SetVelocity {
    linear_mps: f64,
}

struct Drive {
    linear_mps: f64,
    stopped: mpsc::Sender<()>,
}

#[botzilla::component]
impl Drive {
    // Whoever sends: as long as one of them does, nothing is missed.
    #[botzilla::handler(expect_every = "200ms", missed = stop_motors)]
    fn set_velocity(&mut self, msg: SetVelocity) {
        self.linear_mps = msg.linear_mps;
    }

    /// Once for each silence; the next command ends it. Called before the first command too, if that
    /// is late, so it must not matter that the motors stand.
    fn stop_motors(&mut self) {
        println!("no command for 200 ms: {} m/s -> 0", self.linear_mps);
        self.linear_mps = 0.0;
        let _ = self.stopped.try_send(());
    }
}

#[botzilla::main]
async fn main() -> botzilla::Result<()> {
    let node = botzilla_examples::node().await?;
    let (stopped, mut stops) = mpsc::channel(8);
    let drive = node.spawn("drive", move || Drive {
        linear_mps: 0.0,
        stopped: stopped.clone(),
    });
    let drive = drive.await?;

    for step in 1..=10 {
        let linear_mps = 0.1 * f64::from(step);
        drive.ask(SetVelocity { linear_mps }).await?;
        println!("commanded: {linear_mps:.1} m/s");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("the planner hangs");
    while stops.try_recv().is_ok() {}
    stops.recv().await;
    node.shutdown(Duration::from_secs(1)).await;
    Ok(())
}
