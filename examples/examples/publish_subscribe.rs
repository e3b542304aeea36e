//! A stream: one component publishes, others subscribe, each in its own way.
//!
//! `cargo run -p botzilla-examples --example publish_subscribe`

use std::time::Duration;

use botzilla::PublishError;
use botzilla::prelude::*;

/// An item of a stream is plain data.
#[botzilla::data]
struct Reading {
    celsius: f64,
}

#[derive(Default)]
struct Thermometer {
    readings: Option<Publisher<Reading>>,
    count: u32,
}

#[botzilla::component]
impl Thermometer {
    #[botzilla::on_start]
    fn start(&mut self, ctx: &Ctx<Self>) -> Result<(), PublishError> {
        // Others know it as `thermometer/reading`. `reliable`: no subscriber loses an item. `keep_last`:
        // whoever comes late can have the last one at once. Dropping the publisher ends the stream.
        let qos = Qos::reliable().depth(16).keep_last(1);
        self.readings = Some(ctx.publish("reading", qos)?);
        ctx.every(Duration::from_millis(10), Self::read);
        Ok(())
    }
}

impl Thermometer {
    fn read(&mut self, _: &Ctx<Self>) {
        self.count += 1;
        let celsius = 20.0 + 0.1 * f64::from(self.count);
        // A timer can't wait for a subscriber that is full, as `send(..).await` would: it tries, and
        // learns that nobody got this one.
        if let Some(readings) = &self.readings
            && let Err(unsent) = readings.try_send(Reading { celsius })
        {
            eprintln!("{:.1} degrees weren't sent: {unsent}", unsent.item.celsius);
        }
    }
}

#[botzilla::message(reply = f64)]
struct GetHottest {}

struct Alarm {
    hottest: f64,
}

#[botzilla::component]
impl Alarm {
    // In a component, items come as messages do: one at a time, so `&mut self` needs no lock.
    #[botzilla::handler(stream = "thermometer/reading")]
    fn on_reading(&mut self, reading: &Reading) {
        self.hottest = self.hottest.max(reading.celsius);
    }

    #[botzilla::handler]
    fn get_hottest(&mut self, _: GetHottest) -> f64 {
        self.hottest
    }
}

#[botzilla::main]
async fn main() -> botzilla::Result<()> {
    let node = botzilla_examples::node().await?;
    // Subscribers may come first: they wait for their publisher, and find it again when it restarts.
    node.spawn("alarm", || Alarm { hottest: 0.0 }).await?;
    let mut all = node.subscribe::<Reading>("thermometer/reading").await?;
    node.spawn("thermometer", Thermometer::default).await?;

    for _ in 0..5 {
        let Some(reading) = all.next().await else {
            break;
        };
        // An error is news, such as a publisher of another type; items may follow.
        let reading = reading?;
        println!("number {}: {:.1} degrees", reading.seq(), reading.celsius);
    }
    // A reliable stream would wait for it, if it were not read any more.
    drop(all);

    // Ten a second, the newest: the publisher leaves the others out. A pattern names all that match.
    let few = node
        .subscribe::<Reading>("*/reading")
        .at_most(10.0)
        .latest(1);
    let mut few = few.keep_last(1).await?;
    for _ in 0..5 {
        let Some(reading) = few.next().await else {
            break;
        };
        let reading = reading?;
        println!(
            "number {} of {}: {:.1} degrees, {} thinned out, {} missed",
            reading.seq(),
            reading.stream(),
            reading.celsius,
            reading.thinned(),
            reading.missed()
        );
    }

    let hottest = node.component("alarm").ask(GetHottest {}).await?;
    println!("the hottest was {hottest:.1} degrees");
    node.shutdown(Duration::from_secs(1)).await;
    Ok(())
}
