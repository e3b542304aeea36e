//! A long frame while it arrives.

use bytes::Bytes;

/// A long frame that is arriving. Its memory grows with what arrived.
#[derive(Debug)]
pub(crate) struct Assembly<S> {
    pub(crate) subject: S,
    /// How many bytes of the payload are still to come.
    left: u64,
    payload: Vec<u8>,
}

impl<S> Assembly<S> {
    /// A long frame of `total` bytes, of which the first are here. `proven` bytes may be reserved
    /// at once, as far as there are so many to come: as much as the peer has sent before.
    pub(crate) fn new(subject: S, total: u64, first: &[u8], proven: usize) -> Self {
        let whole = usize::try_from(total).unwrap_or(usize::MAX);
        let mut payload = Vec::new();
        payload.reserve_exact(proven.min(whole).max(first.len()));
        payload.extend_from_slice(first);
        Self {
            subject,
            left: total - first.len() as u64,
            payload,
        }
    }

    /// Takes a part; none if it is longer than what is to come. The answer is whether it was the
    /// last.
    pub(crate) fn push(&mut self, part: &[u8]) -> Option<bool> {
        let len = part.len();
        let left = self.left.checked_sub(len as u64)?;
        if self.payload.capacity() - self.payload.len() < len {
            // At most twice what has arrived, and never more than the whole: what was announced
            // sizes nothing.
            let rest = usize::try_from(self.left).unwrap_or(usize::MAX);
            let room = rest.min(self.payload.len().max(len));
            self.payload.reserve_exact(room);
        }
        self.payload.extend_from_slice(part);
        self.left = left;
        Some(left == 0)
    }

    /// Takes a part of something that nobody waits for.
    pub(crate) fn skip(&mut self, part: &[u8]) -> Option<bool> {
        self.payload = Vec::new();
        self.left = self.left.checked_sub(part.len() as u64)?;
        Some(self.left == 0)
    }

    pub(crate) fn finish(self) -> (S, Bytes) {
        (self.subject, self.payload.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_frame_takes_memory_as_it_arrives_and_no_more_than_it_needs() {
        const TOTAL: usize = 1_000_000;
        let mut assembly = Assembly::new((), TOTAL as u64, &[1; 1000], 0);
        let mut arrived = 1000;
        while arrived < TOTAL {
            assert!(assembly.payload.capacity() <= (2 * arrived).min(TOTAL));
            let len = 60_000.min(TOTAL - arrived);
            arrived += len;
            assert_eq!(assembly.push(&vec![2; len]), Some(arrived == TOTAL));
            assert!(assembly.payload.capacity() <= (2 * arrived).min(TOTAL));
        }
        assert_eq!(assembly.push(&[0]), None);
        assert_eq!(assembly.finish().1.len(), TOTAL);
        let huge = Assembly::new((), u64::MAX, &[], 0);
        assert_eq!(huge.payload.capacity(), 0);
    }

    #[test]
    fn what_the_peer_has_sent_before_is_reserved_at_once_but_no_more_than_is_to_come() {
        let mut assembly = Assembly::new((), 300_000, &[1; 1000], 500_000);
        assert_eq!(assembly.payload.capacity(), 300_000);
        let at = assembly.payload.as_ptr();
        assert_eq!(assembly.push(&vec![2; 299_000]), Some(true));
        assert_eq!(assembly.finish().1.as_ptr(), at, "nothing moved");
        let announced = Assembly::new((), u64::MAX, &[1; 1000], 2000);
        assert_eq!(announced.payload.capacity(), 2000);
    }

    #[test]
    fn what_nobody_waits_for_takes_no_memory() {
        let mut assembly = Assembly::new((), 300, &[1; 100], 0);
        assert_eq!(assembly.skip(&[1; 150]), Some(false));
        assert_eq!(assembly.payload.capacity(), 0);
        assert_eq!(assembly.skip(&[1; 51]), None);
        assert_eq!(assembly.skip(&[1; 50]), Some(true));
    }
}
