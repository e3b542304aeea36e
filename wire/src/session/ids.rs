//! A table keyed by ids that are handed out one after the other.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

/// How long a ring may get before its oldest entry moves to the map.
const RING_MAX: usize = 4096;

/// What is open, by id. Ids come in order and most end soon, so the newest are in a ring, where
/// finding one is a subtraction; the few that stay open for long move to a map.
#[derive(Debug)]
pub(super) struct IdTable<V> {
    /// The id of the ring's first slot.
    base: u64,
    ring: VecDeque<Option<V>>,
    old: FxHashMap<u64, V>,
    len: usize,
}

impl<V> IdTable<V> {
    /// An empty table whose first id is 1.
    pub(super) fn new() -> Self {
        Self {
            base: 1,
            ring: VecDeque::new(),
            old: FxHashMap::default(),
            len: 0,
        }
    }

    /// The id that [`insert`](Self::insert) hands out next.
    pub(super) fn next(&self) -> u64 {
        self.base + self.ring.len() as u64
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds the next entry.
    pub(super) fn insert(&mut self, value: V) -> u64 {
        if self.ring.len() == RING_MAX {
            if let Some(Some(oldest)) = self.ring.pop_front() {
                self.old.insert(self.base, oldest);
            }
            self.base += 1;
        }
        let id = self.next();
        self.ring.push_back(Some(value));
        self.len += 1;
        id
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.ring.iter().flatten().chain(self.old.values())
    }

    fn slot(&self, id: u64) -> Option<usize> {
        usize::try_from(id.checked_sub(self.base)?).ok()
    }

    pub(super) fn get(&self, id: u64) -> Option<&V> {
        match self.slot(id) {
            Some(slot) => self.ring.get(slot)?.as_ref(),
            None => self.old.get(&id),
        }
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut V> {
        match self.slot(id) {
            Some(slot) => self.ring.get_mut(slot)?.as_mut(),
            None => self.old.get_mut(&id),
        }
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<V> {
        let value = match self.slot(id) {
            Some(slot) => {
                let value = self.ring.get_mut(slot)?.take();
                while let Some(None) = self.ring.front() {
                    self.ring.pop_front();
                    self.base += 1;
                }
                value
            }
            None => self.old.remove(&id),
        };
        self.len -= usize::from(value.is_some());
        value
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_entry_that_stays_open_survives_thousands_that_come_and_go() {
        let mut table = IdTable::new();
        let held = table.insert("held");
        for _ in 0..3 * RING_MAX {
            let id = table.insert("brief");
            assert_eq!(table.remove(id), Some("brief"));
            assert_eq!(table.remove(id), None);
        }
        assert!(table.ring.len() <= RING_MAX);
        assert_eq!(table.get_mut(held), Some(&mut "held"));
        assert_eq!(table.remove(held), Some("held"));
        assert_eq!((table.len(), table.remove(held)), (0, None));
        assert_eq!(table.next(), 3 * RING_MAX as u64 + 2);
    }

    proptest! {
        #[test]
        fn it_is_a_map(steps in proptest::collection::vec((0_u8..4, 0_u64..40), 0..200)) {
            let mut table = IdTable::new();
            let mut map = BTreeMap::new();
            for (what, id) in steps {
                if what == 0 {
                    let id = table.insert(id);
                    map.insert(id, id);
                    prop_assert_eq!(id + 1, table.next());
                } else {
                    prop_assert_eq!(table.get_mut(id).is_some(), map.contains_key(&id));
                    prop_assert_eq!(table.remove(id).is_some(), map.remove(&id).is_some());
                }
                prop_assert_eq!(table.len(), map.len());
            }
        }
    }
}
