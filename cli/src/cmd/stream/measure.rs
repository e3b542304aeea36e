//! How often a stream's items come, how long or how old they are.

use std::time::Instant;

use botzilla::Item;

use super::{
    Flow, Stage, flow,
    follow::{Follower, follow},
};
use crate::{
    error::CliError,
    figures::{Meter, Sample},
    output::Event,
    plan::stream::{Figure, Wanted},
};

pub(super) async fn run(stage: Stage<'_>, what: Wanted, figure: Figure) -> Result<(), CliError> {
    // As they travel: nothing is decoded.
    let subscribe = stage.client.node().subscribe_raw(&what.selector);
    let mut gauge = Gauge {
        meter: Meter::new(Instant::now()),
        figure,
    };
    follow(stage, &what, subscribe, &mut gauge).await
}

struct Gauge {
    meter: Meter,
    figure: Figure,
}

impl<T: AsRef<[u8]>> Follower<T> for Gauge {
    fn item(&mut self, _: &mut Stage<'_>, item: &Item<T>) -> Result<Flow, CliError> {
        let bytes: &T = item;
        let sample = Sample {
            at: Instant::now(),
            bytes: bytes.as_ref().len(),
            age: item.age(),
            missed: item.missed(),
            thinned: item.thinned(),
            restarted: item.restarted(),
        };
        self.meter.add(item.stream(), &sample);
        Ok(Flow::On)
    }

    fn second(&mut self, stage: &mut Stage<'_>) -> Result<Flow, CliError> {
        let figures = self.meter.look(Instant::now());
        flow((stage.show)(Event::Figures {
            figure: self.figure,
            streams: &figures,
            whole: false,
        }))
    }

    fn end(&mut self, stage: &mut Stage<'_>) -> Result<(), CliError> {
        let figures = self.meter.whole(Instant::now());
        let shown = flow((stage.show)(Event::Figures {
            figure: self.figure,
            streams: &figures,
            whole: true,
        }));
        shown.map(drop)
    }
}
