//! How often a stream's items come, how long or how old they are.

use std::time::Instant;

use botzilla::Item;

use super::{
    Stage,
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
    fn item(&mut self, _: &mut Stage<'_>, item: &Item<T>, missed: u64) {
        let bytes: &T = item;
        let sample = Sample {
            at: Instant::now(),
            bytes: bytes.as_ref().len(),
            age: item.age(),
            missed,
            thinned: item.thinned(),
            restarted: item.restarted(),
        };
        self.meter.add(item.stream(), &sample);
    }

    fn missed(&mut self, stream: &str, missed: u64) {
        self.meter.missed(stream, missed);
    }

    fn second(&mut self, stage: &mut Stage<'_>) {
        let figures = self.meter.look(Instant::now());
        stage.screen.show(&Event::Figures {
            figure: self.figure,
            streams: &figures,
            whole: false,
        });
    }

    fn end(&mut self, stage: &mut Stage<'_>) {
        let figures = self.meter.whole(Instant::now());
        stage.screen.show(&Event::Figures {
            figure: self.figure,
            streams: &figures,
            whole: true,
        });
    }
}
