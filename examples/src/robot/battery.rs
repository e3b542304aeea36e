//! The battery: it counts what is drawn from it.

use std::time::Duration;

use botzilla::prelude::*;
use botzilla::{PublishError, WhenFull};

use super::Options;
use super::messages::{Charge, EmergencyStop, GetCharge, PowerUsed};
use crate::sim::Pack;

/// How long a subscriber of the charge may hold the battery up before it is cut off.
const PATIENCE: Duration = Duration::from_millis(200);

/// The component.
#[derive(Debug)]
pub struct Battery {
    pack: Pack,
    charges: Option<Publisher<Charge>>,
}

impl Battery {
    /// A full battery.
    pub const fn new(options: &Options) -> Self {
        Self {
            pack: Pack::full(options.battery_j),
            charges: None,
        }
    }

    fn charge(&self) -> Charge {
        Charge {
            percent: 100.0 * self.pack.charge(),
            volts: self.pack.volts(),
            used_j: self.pack.used_j(),
        }
    }
}

#[botzilla::component(groups = ["base"])]
impl Battery {
    /// A few items a second of which each counts, so nobody misses one; whoever comes later begins
    /// with the last one.
    #[botzilla::on_start]
    fn start(&mut self, ctx: &Ctx<Self>) -> Result<(), PublishError> {
        let when_full = WhenFull::CutOff { after: PATIENCE };
        let qos = Qos::reliable().when_full(when_full).keep_last(1);
        self.charges = Some(ctx.publish("charge", qos)?);
        Ok(())
    }

    #[botzilla::handler]
    async fn power_used(&mut self, msg: PowerUsed, ctx: &Ctx<Self>) {
        let before = self.pack.charge();
        let enough = self.pack.draw(msg.joules);
        if !enough && before > 0.0 {
            // Said once, to everybody who moves something. The broadcast waits for the others, so
            // it goes on in a task of its own and the battery answers meanwhile.
            let reason = "the battery is empty".to_owned();
            let stop = ctx.broadcast(EmergencyStop { reason });
            ctx.spawn(async move {
                // Who could not be reached is in the report; there is nobody here to show it to.
                let _ = stop.await;
            });
        }
        let charge = self.charge();
        if let Some(charges) = &self.charges {
            // It fails only when the battery is about to end.
            let _ = charges.send(charge).await;
        }
    }

    #[botzilla::handler]
    fn get_charge(&mut self, _: GetCharge) -> Charge {
        self.charge()
    }
}
