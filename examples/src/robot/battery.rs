//! The battery: it counts what is drawn from it.

use botzilla::prelude::*;

use super::Options;
use super::messages::{Charge, EmergencyStop, GetCharge, PowerUsed};
use crate::sim::Pack;

/// The component.
#[derive(Debug)]
pub struct Battery {
    pack: Pack,
}

impl Battery {
    /// A full battery.
    pub const fn new(options: &Options) -> Self {
        Self {
            pack: Pack::full(options.battery_j),
        }
    }
}

#[botzilla::component(groups = ["base"])]
impl Battery {
    #[botzilla::handler]
    fn power_used(&mut self, msg: PowerUsed, ctx: &Ctx<Self>) {
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
    }

    #[botzilla::handler]
    fn get_charge(&mut self, _: GetCharge) -> Charge {
        Charge {
            percent: 100.0 * self.pack.charge(),
            volts: self.pack.volts(),
            used_j: self.pack.used_j(),
        }
    }
}
