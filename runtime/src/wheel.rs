//! A hashed timing wheel after Varghese and Lauck (1987), scheme 6: slots of a tick, entries in
//! doubly linked lists, an entry further away than one turn stays for the next. It lives under
//! whichever lock its owner has.

use std::num::NonZeroU32;

const SLOTS: usize = 4096;
/// No entry's number: the first entry is nobody's.
const NONE: u32 = 0;

#[derive(Debug)]
pub(crate) struct Wheel<T> {
    /// Every slot before this tick has been emptied.
    now: u64,
    /// When the keeper looks next; only an entry before that wakes it. It stays when its entry goes,
    /// or each message that is alone would wake the keeper.
    alarm: u64,
    /// None while nothing is waited for, as far as the keeper knows: not every component is asked
    /// often, and they are 16 KiB.
    heads: Box<[u32]>,
    entries: Vec<Entry<T>>,
    free: u32,
    len: usize,
}

#[derive(Debug, Default)]
struct Entry<T> {
    tick: u64,
    previous: u32,
    next: u32,
    /// It is in its slot: its tick hasn't come, and it wasn't taken out.
    is_in: bool,
    value: T,
}

/// An entry's place. Whoever put it in sees to it that it is removed or freed once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(NonZeroU32);

impl Key {
    #[inline]
    fn place(self) -> usize {
        self.0.get() as usize
    }
}

impl<T> Default for Wheel<T> {
    fn default() -> Self {
        Self {
            now: 0,
            alarm: u64::MAX,
            heads: Box::default(),
            entries: Vec::new(),
            free: NONE,
            len: 0,
        }
    }
}

impl<T: Default> Wheel<T> {
    /// Puts an entry in, with a value as new. Besides: whether the keeper must look earlier than it
    /// meant to.
    #[inline]
    pub(crate) fn insert(&mut self, tick: u64) -> (Key, &mut T, bool) {
        if self.free == NONE || self.heads.is_empty() {
            self.make_room();
        }
        let tick = tick.max(self.now);
        let number = self.free;
        let head = std::mem::replace(&mut self.heads[slot(tick)], number);
        if head != NONE {
            self.entries[head as usize].previous = number;
        }
        let entry = &mut self.entries[number as usize];
        self.free = entry.next;
        (entry.tick, entry.previous, entry.next) = (tick, NONE, head);
        entry.is_in = true;
        self.len += 1;
        let is_next = tick < self.alarm;
        if is_next {
            self.alarm = tick;
        }
        let key = NonZeroU32::new(number).expect("a free place is none or a number");
        (Key(key), &mut entry.value, is_next)
    }

    /// The slots and a free place, where there is none.
    #[cold]
    fn make_room(&mut self) {
        if self.heads.is_empty() {
            self.heads = vec![NONE; SLOTS].into();
        }
        if self.free != NONE {
            return;
        }
        if self.entries.is_empty() {
            self.entries.push(Entry::default());
        }
        self.free = u32::try_from(self.entries.len()).expect("fewer than 2^32 open deadlines");
        self.entries.push(Entry::default());
    }

    #[inline]
    pub(crate) fn get(&mut self, key: Key) -> &mut T {
        &mut self.entries[key.place()].value
    }

    /// Whether its tick is still to come, unless it was taken out.
    #[inline]
    pub(crate) fn is_in(&self, key: Key) -> bool {
        self.entries[key.place()].is_in
    }

    /// Its tick isn't waited for any more; its value stays, and is at hand.
    #[inline]
    pub(crate) fn take_out(&mut self, key: Key) -> &mut T {
        let entry = &mut self.entries[key.place()];
        if std::mem::take(&mut entry.is_in) {
            let (tick, previous, next) = (entry.tick, entry.previous, entry.next);
            if previous == NONE {
                self.heads[slot(tick)] = next;
            } else {
                self.entries[previous as usize].next = next;
            }
            if next != NONE {
                self.entries[next as usize].previous = previous;
            }
            self.len -= 1;
        }
        &mut self.entries[key.place()].value
    }

    /// Gives the place of an entry that was taken out, or is over, to the next; its value is as new.
    #[inline]
    pub(crate) fn free(&mut self, key: Key) {
        let entry = &mut self.entries[key.place()];
        entry.next = self.free;
        self.free = key.0.get();
    }

    /// Takes an entry out altogether.
    #[inline]
    pub(crate) fn remove(&mut self, key: Key) -> T {
        let value = std::mem::take(self.take_out(key));
        self.free(key);
        value
    }

    /// Hands what is due to `fire`; the tick at which to look again.
    pub(crate) fn look(&mut self, current: u64, mut fire: impl FnMut(&mut T)) -> Option<u64> {
        if self.alarm <= current {
            self.advance(current, &mut fire);
        }
        (self.alarm != u64::MAX).then_some(self.alarm)
    }

    /// `current` and all ticks before it are over.
    fn advance(&mut self, current: u64, fire: &mut impl FnMut(&mut T)) {
        // After a long sleep one turn visits every slot; more turns would find nothing new.
        let first = self.now.max((current + 1).saturating_sub(SLOTS as u64));
        for tick in first..=current {
            self.empty(slot(tick), current, fire);
        }
        self.now = self.now.max(current + 1);
        self.alarm = self.next_tick().unwrap_or(u64::MAX);
        self.tidy();
    }

    /// Gives the slots back if nothing is in them. The next entry is the keeper's first again, so it
    /// is for the end of what needs them, and once an alarm: an ask must not cost them each time.
    pub(crate) fn tidy(&mut self) {
        if self.len == 0 {
            self.heads = Box::default();
            self.alarm = u64::MAX;
        }
    }

    fn empty(&mut self, slot: usize, current: u64, fire: &mut impl FnMut(&mut T)) {
        let mut number = self.heads[slot];
        while let Some(key) = NonZeroU32::new(number).map(Key) {
            let entry = &self.entries[key.place()];
            number = entry.next;
            if entry.tick <= current {
                fire(self.take_out(key));
            }
        }
    }

    /// The next tick whose slot holds anything, at most one turn away.
    fn next_tick(&self) -> Option<u64> {
        if self.len == 0 {
            return None;
        }
        (self.now..self.now + SLOTS as u64).find(|&tick| self.heads[slot(tick)] != NONE)
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it has its slots.
    #[cfg(test)]
    pub(crate) fn has_slots(&self) -> bool {
        !self.heads.is_empty()
    }

    /// How many places it has, used or not.
    #[cfg(test)]
    pub(crate) fn places(&self) -> usize {
        self.entries.len().saturating_sub(1)
    }
}

#[inline]
fn slot(tick: u64) -> usize {
    (tick % SLOTS as u64) as usize
}

#[cfg(test)]
pub(crate) const TURN: u64 = SLOTS as u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slots_are_there_from_an_entry_until_an_alarm_finds_none() {
        let mut wheel = Wheel::<u32>::default();
        assert!(!wheel.has_slots());
        for start in [0, 10_000] {
            let (first, ..) = wheel.insert(start + 5);
            wheel.remove(first);
            let (second, _, is_next) = wheel.insert(start + 9);
            assert!(wheel.has_slots() && !is_next);
            // It waits for the first's alarm, and finds the second.
            assert_eq!(wheel.look(start + 5, |_| ()), Some(start + 9));
            assert!(wheel.has_slots());
            let mut fired = 0;
            assert_eq!(wheel.look(start + 9, |_| fired += 1), None);
            assert!(fired == 1 && !wheel.has_slots());
            // What is over keeps its place without them.
            let (third, _, is_next) = wheel.insert(start + 20);
            assert!(is_next && third != second);
            wheel.free(second);
            wheel.remove(third);
            wheel.tidy();
            assert!(!wheel.has_slots());
            assert_eq!(wheel.look(start + 30, |_| ()), None);
        }
        assert_eq!(wheel.places(), 2);
    }
}
