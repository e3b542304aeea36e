//! An actix actor that is there already, put on the network with its code unchanged.
//!
//! `cargo run -p botzilla-examples --example actix_actor`

use std::time::Duration;

use actix::{Actor, Context, Handler};

/// The one change: its messages say that they are Botzilla's too. Derives stay below.
#[botzilla::message(reply = Vec<f32>)]
#[derive(actix::Message)]
#[rtype(result = "Vec<f32>")]
struct Scan {
    beams: u32,
}

/// An ordinary actor.
struct Lidar {
    scans: u32,
}

impl Actor for Lidar {
    type Context = Context<Self>;
}

impl Handler<Scan> for Lidar {
    type Result = Vec<f32>;

    fn handle(&mut self, msg: Scan, _: &mut Context<Self>) -> Vec<f32> {
        self.scans += 1;
        (0..msg.beams)
            .map(|beam| (beam + self.scans) as f32 / 10.0)
            .collect()
    }
}

#[botzilla::main]
async fn main() -> botzilla::Result<()> {
    let node = botzilla_examples::node().await?;
    let addr = Lidar { scans: 0 }.start();

    // Say which of its messages others may send. Whatever else it handles stays private.
    node.export("lidar", addr.clone()).message::<Scan>().await?;

    // Others ask it like any component ...
    let ranges = node.component("lidar").ask(Scan { beams: 3 }).await?;
    println!("asked as a component: {ranges:?}");

    // ... and old code goes on sending to its address.
    let ranges = addr
        .send(Scan { beams: 3 })
        .await
        .map_err(|error| error.to_string())?;
    println!("asked as an actor:    {ranges:?}");

    // Unlike a component, an actor that panics can't be made anew: it is then deregistered.
    node.shutdown(Duration::from_secs(1)).await;
    Ok(())
}
