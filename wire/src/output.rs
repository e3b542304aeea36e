//! Bytes on their way to a socket: small pieces merged, large payloads kept as they are.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Records ready for the socket.
///
/// What is small is copied into one buffer; a large payload stays the [`Bytes`] that its sender
/// gave, to be written by a vectored write. Read it as a [`Buf`].
#[derive(Debug, Default)]
pub struct Output {
    /// The small bytes, of which those before `head` are written.
    pub(crate) small: Vec<u8>,
    head: usize,
    /// What follows what; empty if there is nothing but small bytes.
    pieces: VecDeque<Piece>,
    /// Small bytes that no piece stands for yet: they come last.
    covered: usize,
    /// Bytes in `pieces` that are large.
    large: usize,
}

/// A place in an [`Output`].
#[derive(Debug)]
pub(crate) struct Mark {
    start: usize,
    pieces: usize,
    covered: usize,
    large: usize,
}

impl Mark {
    /// Where it is among the small bytes.
    pub(crate) fn start(&self) -> usize {
        self.start
    }
}

#[derive(Debug)]
enum Piece {
    /// So many bytes of `small`.
    Small(usize),
    Large(Bytes),
}

impl Output {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing is left to write.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes are left to write.
    pub fn len(&self) -> usize {
        self.small.len() - self.head + self.large
    }

    /// The place that the next byte goes to.
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            start: self.small.len(),
            pieces: self.pieces.len(),
            covered: self.covered,
            large: self.large,
        }
    }

    /// How many bytes were appended since. (Nothing may be written to the socket in between.)
    pub(crate) fn since(&self, mark: &Mark) -> usize {
        self.small.len() - mark.start + self.large - mark.large
    }

    /// Whether all since the mark is small, so one slice from [`Mark::start`] on.
    pub(crate) fn is_contiguous(&self, mark: &Mark) -> bool {
        self.pieces.len() == mark.pieces
    }

    /// All since the mark, in order.
    pub(crate) fn parts(&self, mark: &Mark) -> impl Iterator<Item = &[u8]> {
        let (mut at, start) = (mark.covered, mark.start);
        let pieces = self
            .pieces
            .range(mark.pieces..)
            .map(move |piece| match piece {
                Piece::Small(len) => {
                    // The first one may begin before the mark.
                    let from = at.max(start);
                    at += len;
                    &self.small[from..at]
                }
                Piece::Large(bytes) => bytes,
            });
        pieces.chain([&self.small[self.covered.max(start)..]])
    }

    /// Takes back all since the mark.
    pub(crate) fn rewind_to(&mut self, mark: &Mark) {
        self.small.truncate(mark.start);
        self.pieces.truncate(mark.pieces);
        self.covered = mark.covered;
        self.large = mark.large;
    }

    /// Appends bytes without copying them.
    pub(crate) fn push_large(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        let loose = self.small.len() - self.covered;
        if loose > 0 {
            self.pieces.push_back(Piece::Small(loose));
            self.covered = self.small.len();
        }
        self.large += bytes.len();
        self.pieces.push_back(Piece::Large(bytes));
    }

    /// Appends a payload: a small one is copied, a large one written from where it is.
    pub(crate) fn put(&mut self, payload: Bytes) {
        if payload.len() < LARGE {
            self.small.extend_from_slice(&payload);
        } else {
            self.push_large(payload);
        }
    }

    /// Starts the buffer over once all of it is written, giving back memory that a burst took.
    fn rewind(&mut self) {
        if self.head == self.small.len() && self.pieces.is_empty() {
            self.small.clear();
            if self.small.capacity() > KEEP {
                self.small.shrink_to(KEEP);
            }
            self.head = 0;
            self.covered = 0;
        }
    }
}

/// From this size on, a payload is written from where it is, not copied.
const LARGE: usize = 8 * 1024;

/// How much of the buffer's capacity outlives a burst.
const KEEP: usize = 512 * 1024;

impl Buf for Output {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn chunk(&self) -> &[u8] {
        match self.pieces.front() {
            None => &self.small[self.head..],
            Some(Piece::Small(len)) => &self.small[self.head..self.head + len],
            Some(Piece::Large(bytes)) => bytes,
        }
    }

    fn chunks_vectored<'a>(&'a self, dst: &mut [IoSlice<'a>]) -> usize {
        let mut used = 0;
        let mut at = self.head;
        for piece in &self.pieces {
            let Some(slot) = dst.get_mut(used) else {
                return used;
            };
            let bytes = match piece {
                Piece::Small(len) => {
                    at += len;
                    &self.small[at - len..at]
                }
                Piece::Large(bytes) => bytes,
            };
            *slot = IoSlice::new(bytes);
            used += 1;
        }
        if let Some(slot) = dst.get_mut(used)
            && at < self.small.len()
        {
            *slot = IoSlice::new(&self.small[at..]);
            used += 1;
        }
        used
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.len(), "advanced past the end of the output");
        while count > 0 {
            match self.pieces.front_mut() {
                None => {
                    self.head += count;
                    // Bytes that no piece stands for are written too: they count as covered.
                    self.covered = self.covered.max(self.head);
                    break;
                }
                Some(Piece::Small(len)) => {
                    let step = count.min(*len);
                    *len -= step;
                    self.head += step;
                    count -= step;
                    if *len == 0 {
                        self.pieces.pop_front();
                    }
                }
                Some(Piece::Large(bytes)) => {
                    let step = count.min(bytes.len());
                    bytes.advance(step);
                    self.large -= step;
                    count -= step;
                    if bytes.is_empty() {
                        self.pieces.pop_front();
                    }
                }
            }
        }
        self.rewind();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(output: &mut Output, step: usize) -> Vec<u8> {
        let mut got = Vec::new();
        while output.has_remaining() {
            let mut slices = [IoSlice::new(&[]); 3];
            let used = output.chunks_vectored(&mut slices);
            let seen: Vec<u8> = slices[..used].iter().flat_map(|s| s.to_vec()).collect();
            assert!(seen.starts_with(output.chunk()));
            let take = step.min(seen.len());
            got.extend_from_slice(&seen[..take]);
            output.advance(take);
        }
        got
    }

    #[test]
    fn small_and_large_bytes_come_out_in_the_order_they_went_in() {
        for step in [1, 2, 3, 7, 100] {
            let mut output = Output::new();
            let mut expected = Vec::new();
            for round in 0..3_u8 {
                output.small.extend_from_slice(&[round, 1, 2]);
                output.push_large(Bytes::from(vec![round; 10]));
                output.push_large(Bytes::from(vec![round + 100; 5]));
                output.small.extend_from_slice(&[9]);
                expected.extend_from_slice(&[round, 1, 2]);
                expected.extend(vec![round; 10]);
                expected.extend(vec![round + 100; 5]);
                expected.push(9);
            }
            assert_eq!(output.len(), expected.len());
            assert_eq!(drain(&mut output, step), expected);
            assert!(output.is_empty());
            assert!(
                output.small.is_empty(),
                "the buffer starts over once drained"
            );
        }
    }

    #[test]
    fn bytes_pushed_after_a_partial_write_follow() {
        let mut output = Output::new();
        output.small.extend_from_slice(b"abcdef");
        output.advance(4);
        output.push_large(Bytes::from_static(b"LARGE"));
        output.small.extend_from_slice(b"gh");
        assert_eq!(output.len(), 2 + 5 + 2);
        assert_eq!(drain(&mut output, 2), b"efLARGEgh");
    }
}
