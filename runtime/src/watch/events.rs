//! What is told to who reads at its own pace. Pure.

use std::collections::VecDeque;

use super::{DownReason, Incarnation, WatchEvent};

/// How many may wait to be read.
const BOUND: usize = 3;

/// Events that alternate, up and down, from the last one that was read to the present state.
#[derive(Debug, Default)]
pub(super) struct Events {
    told: Option<WatchEvent>,
    /// At most [`BOUND`].
    pending: VecDeque<WatchEvent>,
}

impl Events {
    /// Who has the name now, and, if it isn't who had it before, why that one hasn't.
    pub(super) fn see(&mut self, who: Option<Incarnation>, why: DownReason) {
        match (self.latest(), who) {
            (Some(WatchEvent::Up { incarnation }), Some(now)) if incarnation == now => {}
            (Some(WatchEvent::Up { incarnation }), now) => {
                self.add(WatchEvent::Down {
                    why,
                    incarnation: Some(incarnation),
                });
                self.come(now);
            }
            (Some(WatchEvent::Down { .. }), now) => self.come(now),
            (None, Some(incarnation)) => self.add(WatchEvent::Up { incarnation }),
            (None, None) => self.add(WatchEvent::Down {
                why,
                incarnation: None,
            }),
        }
    }

    pub(super) fn next(&mut self) -> Option<WatchEvent> {
        let event = self.pending.pop_front()?;
        self.told = Some(event);
        Some(event)
    }

    fn latest(&self) -> Option<WatchEvent> {
        self.pending.back().copied().or(self.told)
    }

    fn come(&mut self, who: Option<Incarnation>) {
        if let Some(incarnation) = who {
            self.add(WatchEvent::Up { incarnation });
        }
    }

    fn add(&mut self, event: WatchEvent) {
        self.pending.push_back(event);
        if self.told.is_none() {
            // The first is the present state, whenever it is read.
            self.pending = VecDeque::from([event]);
        }
        if self.pending.len() > BOUND {
            // How the one that its reader knows ended stays; who came and went since goes.
            let first = usize::from(matches!(self.pending[0], WatchEvent::Down { .. }));
            self.pending.drain(first..first + 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use botzilla_wire::NodeId;
    use proptest::prelude::*;

    use super::*;

    fn life(count: u64) -> Incarnation {
        Incarnation {
            node: NodeId([1; 16]),
            count,
        }
    }

    fn up(count: u64) -> WatchEvent {
        WatchEvent::Up {
            incarnation: life(count),
        }
    }

    fn down(count: u64, why: DownReason) -> WatchEvent {
        WatchEvent::Down {
            why,
            incarnation: Some(life(count)),
        }
    }

    fn all(events: &mut Events) -> Vec<WatchEvent> {
        std::iter::from_fn(|| events.next()).collect()
    }

    #[test]
    fn who_reads_is_told_each_change_once() {
        let mut events = Events::default();
        events.see(None, DownReason::NotFound);
        let nobody = WatchEvent::Down {
            why: DownReason::NotFound,
            incarnation: None,
        };
        assert_eq!(all(&mut events), [nobody]);
        events.see(None, DownReason::Lapsed);
        assert_eq!(all(&mut events), []);
        events.see(Some(life(1)), DownReason::Deregistered);
        events.see(Some(life(1)), DownReason::Deregistered);
        assert_eq!(all(&mut events), [up(1)]);
        events.see(None, DownReason::Lapsed);
        assert_eq!(all(&mut events), [down(1, DownReason::Lapsed)]);
    }

    #[test]
    fn one_that_took_the_place_of_another_is_told_as_two_events() {
        let mut events = Events::default();
        events.see(Some(life(1)), DownReason::NotFound);
        all(&mut events);
        events.see(Some(life(2)), DownReason::Replaced);
        assert_eq!(all(&mut events), [down(1, DownReason::Replaced), up(2)]);
    }

    #[test]
    fn the_first_event_is_the_state_when_it_is_read() {
        let mut events = Events::default();
        events.see(None, DownReason::NotFound);
        events.see(Some(life(1)), DownReason::NotFound);
        events.see(Some(life(2)), DownReason::NotFound);
        assert_eq!(all(&mut events), [up(2)]);
    }

    proptest! {
        /// Whatever happens, and whenever somebody reads: it is bounded, events alternate, the last one is
        /// the state, and no change of the incarnation is hidden.
        #[test]
        fn who_reads_seldom_is_told_less_and_nothing_wrong(
            steps in prop::collection::vec((prop::option::of(0_u64..4), any::<bool>()), 1..200)
        ) {
            let mut events = Events::default();
            let mut told: Vec<WatchEvent> = Vec::new();
            let last = steps.len() - 1;
            for (at, (who, reads)) in steps.into_iter().enumerate() {
                events.see(who.map(life), DownReason::Lapsed);
                prop_assert!(events.pending.len() <= BOUND);
                if !reads && at != last {
                    continue;
                }
                told.extend(all(&mut events));
                match (told.last(), who) {
                    (Some(WatchEvent::Up { incarnation }), Some(count)) => {
                        prop_assert_eq!(*incarnation, life(count));
                    }
                    (Some(WatchEvent::Down { .. }), None) => {}
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            for pair in told.windows(2) {
                match (pair[0], pair[1]) {
                    (WatchEvent::Up { incarnation }, WatchEvent::Down { incarnation: ended, .. }) => {
                        prop_assert_eq!(Some(incarnation), ended);
                    }
                    (WatchEvent::Down { .. }, WatchEvent::Up { .. }) => {}
                    other => prop_assert!(false, "{:?}", other),
                }
            }
        }
    }
}
