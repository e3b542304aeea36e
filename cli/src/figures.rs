//! What a stream's items add up to: how often they come, how long and how old they are, how many were
//! lost.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// The least, the mean and the greatest of some numbers, and how far they are spread.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Spread {
    count: u64,
    min: f64,
    max: f64,
    mean: f64,
    /// The sum of the squares of the distances from the mean, by Welford's method: the squares alone
    /// would lose what small spreads around large means have.
    squares: f64,
}

impl Spread {
    fn add(&mut self, value: f64) {
        if self.count == 0 {
            (self.min, self.max) = (value, value);
        }
        self.count += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        let before = value - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (value - self.mean);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn min(&self) -> f64 {
        self.min
    }

    pub(crate) fn mean(&self) -> f64 {
        self.mean
    }

    pub(crate) fn max(&self) -> f64 {
        self.max
    }

    /// The standard deviation.
    pub(crate) fn jitter(&self) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        (self.squares / self.count as f64).sqrt()
    }
}

/// What came of one stream in some time.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Figures {
    pub(crate) items: u64,
    pub(crate) bytes: u64,
    /// Of the items that came after another.
    later_bytes: u64,
    /// Seconds between two items.
    pub(crate) intervals: Spread,
    /// Bytes of an item.
    pub(crate) sizes: Spread,
    /// Seconds since an item was published.
    pub(crate) ages: Spread,
    pub(crate) missed: u64,
    pub(crate) thinned: u64,
    pub(crate) restarts: u64,
    /// Seconds.
    pub(crate) over: f64,
}

/// One item, as far as it counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) at: Instant,
    pub(crate) bytes: usize,
    pub(crate) age: Duration,
    pub(crate) missed: u64,
    pub(crate) thinned: u64,
    pub(crate) restarted: bool,
}

impl Figures {
    fn add(&mut self, sample: &Sample, before: Option<Instant>) {
        self.items += 1;
        self.bytes += sample.bytes as u64;
        self.sizes.add(sample.bytes as f64);
        self.ages.add(sample.age.as_secs_f64());
        self.missed += sample.missed;
        self.thinned += sample.thinned;
        self.restarts += u64::from(sample.restarted);
        if let Some(before) = before {
            let interval = sample.at.saturating_duration_since(before);
            self.intervals.add(interval.as_secs_f64());
            self.later_bytes += sample.bytes as u64;
        }
    }

    /// Items a second.
    pub(crate) fn rate(&self) -> f64 {
        per(1.0, self.intervals.mean())
    }

    /// Bytes a second.
    pub(crate) fn throughput(&self) -> f64 {
        let time = self.intervals.mean() * self.intervals.count as f64;
        per(self.later_bytes as f64, time)
    }
}

fn per(amount: f64, time: f64) -> f64 {
    if time > 0.0 { amount / time } else { 0.0 }
}

/// Counts the items of all streams that are subscribed to: since the last look, and since the first
/// item.
#[derive(Debug)]
pub(crate) struct Meter {
    streams: BTreeMap<String, Counted>,
    began: Instant,
    looked: Instant,
}

#[derive(Debug, Default)]
struct Counted {
    now: Figures,
    all: Figures,
    last: Option<Instant>,
}

impl Meter {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            streams: BTreeMap::new(),
            began: now,
            looked: now,
        }
    }

    pub(crate) fn add(&mut self, stream: &str, sample: &Sample) {
        if !self.streams.contains_key(stream) {
            self.streams.insert(stream.to_owned(), Counted::default());
        }
        if let Some(counted) = self.streams.get_mut(stream) {
            // An item that follows a restart follows no other.
            let before = counted.last.filter(|_| !sample.restarted);
            counted.now.add(sample, before);
            counted.all.add(sample, before);
            counted.last = Some(sample.at);
        }
    }

    /// So many items were missed, with none after them that would have told it.
    pub(crate) fn missed(&mut self, stream: &str, missed: u64) {
        let counted = self.streams.entry(stream.to_owned()).or_default();
        counted.now.missed += missed;
        counted.all.missed += missed;
    }

    /// What came since the last look; nothing of a stream is told as nothing.
    pub(crate) fn look(&mut self, now: Instant) -> Vec<(String, Figures)> {
        let over = now.saturating_duration_since(self.looked).as_secs_f64();
        self.looked = now;
        let taken = self.streams.iter_mut().map(|(stream, counted)| {
            let mut figures = std::mem::take(&mut counted.now);
            figures.over = over;
            (stream.clone(), figures)
        });
        taken.collect()
    }

    /// What came in all.
    pub(crate) fn whole(&self, now: Instant) -> Vec<(String, Figures)> {
        let over = now.saturating_duration_since(self.began).as_secs_f64();
        let all = self.streams.iter().map(|(stream, counted)| {
            let mut figures = counted.all.clone();
            figures.over = over;
            (stream.clone(), figures)
        });
        all.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn sample(start: Instant, at: u64) -> Sample {
        Sample {
            at: start + ms(at),
            bytes: 1000,
            age: ms(2),
            missed: 0,
            thinned: 0,
            restarted: false,
        }
    }

    fn near(value: f64, wanted: f64) -> bool {
        (value - wanted).abs() < 1e-9
    }

    #[test]
    fn a_spread_is_that_of_its_numbers() {
        let mut spread = Spread::default();
        assert!(spread.is_empty() && near(spread.jitter(), 0.0));
        for value in [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0] {
            spread.add(value);
        }
        assert_eq!((spread.min(), spread.max()), (2.0, 9.0));
        assert!(near(spread.mean(), 5.0) && near(spread.jitter(), 2.0));
    }

    #[test]
    fn a_small_spread_around_a_large_mean_is_kept() {
        let mut spread = Spread::default();
        for value in [1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0] {
            spread.add(value);
        }
        assert!((spread.jitter() - 22.5_f64.sqrt()).abs() < 1e-6);
    }

    #[test]
    fn even_items_have_their_rate_and_no_jitter() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        for at in 0..=10 {
            meter.add("lidar/scan", &sample(start, at * 100));
        }
        let [(stream, scan)] = &meter.whole(start + ms(1000))[..] else {
            panic!("one stream");
        };
        assert_eq!((&**stream, scan.items), ("lidar/scan", 11));
        assert!(near(scan.rate(), 10.0) && near(scan.throughput(), 10_000.0));
        assert!(near(scan.intervals.jitter(), 0.0) && near(scan.over, 1.0));
        assert!(near(scan.ages.mean(), 0.002) && near(scan.sizes.max(), 1000.0));
    }

    #[test]
    fn each_look_has_what_came_since_the_last_and_the_interval_across_it() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        meter.add("a", &sample(start, 0));
        meter.add("a", &sample(start, 400));
        assert_eq!(meter.look(start + ms(500))[0].1.items, 2);
        meter.add("a", &sample(start, 600));
        let (_, now) = &meter.look(start + ms(1000))[0];
        assert_eq!(now.items, 1);
        assert!(near(now.intervals.mean(), 0.2) && near(now.over, 0.5));
        let (_, silent) = &meter.look(start + ms(1500))[0];
        assert!(silent.items == 0 && near(silent.rate(), 0.0));
        assert_eq!(meter.whole(start + ms(1500))[0].1.items, 3);
    }

    #[test]
    fn losses_are_added_up_and_a_restart_is_no_interval() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        let mut item = sample(start, 0);
        meter.add("a", &item);
        item = sample(start, 9000);
        (item.missed, item.thinned, item.restarted) = (3, 2, true);
        meter.add("a", &item);
        meter.add("b", &sample(start, 9000));
        let all = meter.whole(start + ms(9000));
        let a = &all[0].1;
        assert_eq!((a.missed, a.thinned, a.restarts), (3, 2, 1));
        assert!(a.intervals.is_empty() && near(a.rate(), 0.0));
        assert_eq!(all[1].1.items, 1);
        meter.missed("a", 4);
        assert_eq!(meter.whole(start + ms(9000))[0].1.missed, 7);
    }
}
