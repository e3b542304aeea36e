//! One direction between two hosts, and what happens to packets on it: pure, with time and chance
//! brought along.

use std::time::{Duration, Instant};

use super::packet;

/// What is wrong with a line. Shares are of 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fault {
    /// Nothing passes.
    pub(crate) cut: bool,
    pub(crate) loss: f64,
    pub(crate) delay: Duration,
    /// So many packets take `detour` longer, and are overtaken.
    pub(crate) reorder: f64,
    pub(crate) detour: Duration,
    /// So many have a bit flipped that the checksum shows.
    pub(crate) corrupt: f64,
    /// So many have one flipped that it doesn't show.
    pub(crate) forge: f64,
    /// Bits a second; a queue of [`QUEUE`] is in front.
    pub(crate) rate: Option<u64>,
}

impl Fault {
    pub(crate) const NONE: Self = Self {
        cut: false,
        loss: 0.0,
        delay: Duration::ZERO,
        reorder: 0.0,
        detour: Duration::ZERO,
        corrupt: 0.0,
        forge: 0.0,
        rate: None,
    };
}

/// How long a packet may stand in the queue of a slow line before it is dropped.
pub(crate) const QUEUE: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) lost: u64,
    pub(crate) late: u64,
    pub(crate) altered: u64,
}

#[derive(Debug)]
pub(crate) struct Line {
    fault: Fault,
    random: u64,
    /// When the slow part is free again.
    free_at: Option<Instant>,
    pub(crate) counts: Counts,
}

impl Line {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            fault: Fault::NONE,
            random: seed,
            free_at: None,
            counts: Counts::default(),
        }
    }

    pub(crate) fn set(&mut self, fault: Fault) {
        self.fault = fault;
        self.free_at = None;
    }

    /// SplitMix64: faults need no better chance, and a seed makes it the same again.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn happens(&mut self, share: f64) -> bool {
        share > 0.0 && ((self.random() >> 11) as f64) < share * (1_u64 << 53) as f64
    }

    /// When the packet arrives; never if it is lost.
    pub(crate) fn pass(&mut self, now: Instant, bytes: &mut [u8]) -> Option<Instant> {
        let fault = self.fault;
        if fault.cut || self.happens(fault.loss) {
            self.counts.lost += 1;
            return None;
        }
        let mut at = now;
        if let Some(rate) = fault.rate {
            let free_at = self.free_at.map_or(now, |free_at| free_at.max(now));
            if free_at.duration_since(now) > QUEUE {
                self.counts.lost += 1;
                return None;
            }
            at = free_at + Duration::from_secs_f64(bytes.len() as f64 * 8.0 / rate as f64);
            self.free_at = Some(at);
        }
        at += fault.delay;
        if self.happens(fault.reorder) {
            at += fault.detour;
        }
        if self.happens(fault.corrupt) {
            packet::corrupt(bytes, self.random());
            self.counts.altered += 1;
        }
        if self.happens(fault.forge) && packet::forge(bytes, self.random()) {
            self.counts.altered += 1;
        }
        self.counts.passed += 1;
        self.counts.late += u64::from(at > now);
        Some(at)
    }
}

/// That a line does what it says.
pub(crate) mod tests {
    use super::*;

    /// A TCP segment with a hundred bytes of data, and its checksum.
    fn segment() -> Vec<u8> {
        let mut bytes = vec![0; 140];
        bytes[0] = 0x45;
        bytes[9] = 6;
        bytes[12..20].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
        bytes[32] = 0x50;
        let sum = packet::checksum(&bytes, 20);
        bytes[36..38].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    fn line(fault: Fault) -> Line {
        let mut line = Line::new(1);
        line.set(fault);
        line
    }

    fn is_sound(bytes: &[u8]) -> bool {
        // The sum over all that is sound, its checksum included, is all ones: nothing is left.
        packet::checksum(bytes, 20) == 0
    }

    fn a_line_loses_the_share_that_it_is_told_to() {
        let mut line = line(Fault {
            loss: 0.3,
            ..Fault::NONE
        });
        let now = Instant::now();
        let lost = (0..10_000).filter(|_| line.pass(now, &mut segment()).is_none());
        let lost = lost.count();
        assert!((2_800..3_200).contains(&lost), "{lost}");
        line.set(Fault::NONE);
        assert_eq!(line.pass(now, &mut segment()), Some(now));
        line.set(Fault {
            cut: true,
            ..Fault::NONE
        });
        assert_eq!(line.pass(now, &mut segment()), None);
    }

    fn a_slow_line_takes_its_time_and_drops_what_would_wait_too_long() {
        let mut line = line(Fault {
            rate: Some(1_120_000),
            ..Fault::NONE
        });
        let now = Instant::now();
        let arrivals = (0..1_000).filter_map(|_| line.pass(now, &mut segment()));
        let arrivals: Vec<_> = arrivals.collect();
        // 140 bytes a millisecond.
        let last = arrivals.last().unwrap().duration_since(now);
        assert!(
            (QUEUE..QUEUE + Duration::from_millis(3)).contains(&last),
            "{last:?}"
        );
        assert!(arrivals.is_sorted() && (200..205).contains(&arrivals.len()));
    }

    fn a_forged_packet_has_a_right_checksum_and_a_corrupt_one_has_not() {
        assert!(is_sound(&segment()));
        let now = Instant::now();
        let mut forging = line(Fault {
            forge: 1.0,
            ..Fault::NONE
        });
        let mut corrupting = line(Fault {
            corrupt: 1.0,
            ..Fault::NONE
        });
        for _ in 0..1_000 {
            let mut forged = segment();
            forging.pass(now, &mut forged);
            assert!(is_sound(&forged) && forged[40..] != segment()[40..]);
            let mut corrupted = segment();
            corrupting.pass(now, &mut corrupted);
            assert!(!is_sound(&corrupted));
        }
        let mut empty = segment();
        empty.truncate(40);
        assert!(!packet::forge(&mut empty, 1), "there is nothing to forge");
    }

    /// All of the above.
    pub(crate) const ALL: [(&str, fn()); 3] = [
        (
            "a_line_loses_the_share_that_it_is_told_to",
            a_line_loses_the_share_that_it_is_told_to,
        ),
        (
            "a_slow_line_takes_its_time_and_drops_what_would_wait_too_long",
            a_slow_line_takes_its_time_and_drops_what_would_wait_too_long,
        ),
        (
            "a_forged_packet_has_a_right_checksum_and_a_corrupt_one_has_not",
            a_forged_packet_has_a_right_checksum_and_a_corrupt_one_has_not,
        ),
    ];
}
