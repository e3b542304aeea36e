//! The network: connections as TCP has them, and what goes wrong with them.
//!
//! A byte stream arrives in order or not at all: what a partition holds back comes when it heals. A
//! hostile network also changes the bytes.

use std::collections::{BTreeMap, VecDeque};

use super::{clock::Micros, rng::Rng};

/// The registry and three nodes.
pub(super) const HOSTS: usize = 4;

pub(super) type PipeId = u64;

/// What comes out at one end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Bytes(Vec<u8>),
    /// No more will come.
    Fin,
    /// The other end is gone.
    Reset,
}

#[derive(Debug)]
struct Segment {
    at: Micros,
    piece: Piece,
    /// Somebody has changed it, or left out what was before it.
    tampered: bool,
}

/// One direction of a connection, from the end of this number to the other.
#[derive(Debug, Default)]
struct Direction {
    queue: VecDeque<Segment>,
    /// What is to be done to the next bytes.
    tamper: Option<Tamper>,
    held_back: Option<Vec<u8>>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Tamper {
    Flip,
    Lose,
    Double,
    Swap,
    Insert,
}

#[derive(Debug)]
struct Pipe {
    /// Who dialled, and who was dialled, with the number of its process.
    hosts: [usize; 2],
    lives: [u32; 2],
    is_open: bool,
    /// Ends that don't read or write any more.
    is_closed: [bool; 2],
    /// What goes in never comes out.
    is_black: bool,
    directions: [Direction; 2],
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// Somebody knocks.
    Knock(PipeId),
    /// The dialler hears that he may speak, or that nobody is there.
    Opened(PipeId, bool),
    /// Something may come out at this end.
    Out(PipeId, usize),
}

/// Something for a process.
#[derive(Debug)]
pub(super) enum Arrival {
    Knock,
    Opened(bool),
    Piece { piece: Piece, tampered: bool },
}

#[derive(Debug)]
pub(super) struct Net {
    rng: Rng,
    pipes: BTreeMap<PipeId, Pipe>,
    next: PipeId,
    /// From whom to whom nothing goes.
    blocked: [[bool; HOSTS]; HOSTS],
    /// How long it takes, at least and at most.
    delay: (u64, u64),
    /// For whoever keeps the time.
    pub(super) due: Vec<(Micros, Due)>,
    pub(super) tampered: u64,
}

impl Net {
    pub(super) fn new(mut rng: Rng) -> Self {
        let slow = rng.of(&[200, 2_000, 30_000, 150_000]);
        Self {
            rng,
            pipes: BTreeMap::new(),
            next: 0,
            blocked: [[false; HOSTS]; HOSTS],
            delay: (100, 100 + slow),
            due: Vec::new(),
            tampered: 0,
        }
    }

    fn delay(&mut self) -> Micros {
        let (least, most) = self.delay;
        self.rng.within(least..most)
    }

    /// A connection that is to be; [`Arrival::Opened`] says whether, if anything does.
    pub(super) fn dial(&mut self, now: Micros, from: usize, life: u32, to: usize) -> PipeId {
        self.next += 1;
        let id = self.next;
        self.pipes.insert(
            id,
            Pipe {
                hosts: [from, to],
                lives: [life, 0],
                is_open: false,
                is_closed: [false; 2],
                is_black: false,
                directions: Default::default(),
            },
        );
        let at = now + self.delay();
        self.due.push((at, Due::Knock(id)));
        id
    }

    pub(super) fn send(&mut self, now: Micros, id: PipeId, end: usize, mut bytes: Vec<u8>) {
        let at = now + self.delay();
        let Some(pipe) = self.pipes.get_mut(&id) else {
            return;
        };
        if pipe.is_closed[end] || pipe.is_black {
            return;
        }
        let direction = &mut pipe.directions[end];
        let mut tampered = false;
        if let Some(mut first) = direction.held_back.take() {
            // What came later comes first.
            bytes.append(&mut first);
            tampered = true;
        }
        if let Some(tamper) = direction.tamper.take() {
            self.tampered += 1;
            tampered = true;
            let place = self.rng.below(bytes.len());
            match tamper {
                Tamper::Flip => bytes[place] ^= 1 << self.rng.below(8),
                Tamper::Lose => drop(bytes.drain(place..)),
                Tamper::Double => bytes.extend_from_within(..),
                Tamper::Insert => bytes.insert(place, self.rng.next() as u8),
                Tamper::Swap => {
                    direction.held_back = Some(bytes);
                    return;
                }
            }
        }
        let piece = Piece::Bytes(bytes);
        self.push(at, id, end, piece, tampered);
    }

    /// This end is done: the other reads what is on its way, and then that there is no more.
    pub(super) fn close(&mut self, now: Micros, id: PipeId, end: usize) {
        let at = now + self.delay();
        let Some(pipe) = self.pipes.get_mut(&id) else {
            return;
        };
        if !std::mem::replace(&mut pipe.is_closed[end], true) {
            self.push(at, id, end, Piece::Fin, false);
        }
    }

    fn push(&mut self, at: Micros, id: PipeId, end: usize, piece: Piece, tampered: bool) {
        let Some(pipe) = self.pipes.get_mut(&id) else {
            return;
        };
        let queue = &mut pipe.directions[end].queue;
        let at = queue.back().map_or(at, |last| last.at.max(at));
        queue.push_back(Segment {
            at,
            piece,
            tampered,
        });
        self.due.push((at, Due::Out(id, 1 - end)));
    }

    /// Whom a due event is for.
    pub(super) fn host_of(&self, due: Due) -> Option<usize> {
        let (id, end) = match due {
            Due::Knock(id) => (id, 1),
            Due::Opened(id, _) => (id, 0),
            Due::Out(id, end) => (id, end),
        };
        Some(self.pipes.get(&id)?.hosts[end])
    }

    /// What a due event comes to: for which host's process, if it is still the same, and what.
    pub(super) fn arrives(
        &mut self,
        now: Micros,
        due: Due,
        lives: &[Option<u32>; HOSTS],
    ) -> Option<(usize, PipeId, Arrival)> {
        let (id, end) = match due {
            Due::Knock(id) => (id, 1),
            Due::Opened(id, _) => (id, 0),
            Due::Out(id, end) => (id, end),
        };
        let back = now + self.delay();
        let pipe = self.pipes.get_mut(&id)?;
        let (from, to) = (pipe.hosts[1 - end], pipe.hosts[end]);
        if pipe.is_black || self.blocked[from][to] {
            return None;
        }
        let is_there = |pipe: &Pipe, end: usize| {
            !pipe.is_closed[end] && lives[pipe.hosts[end]] == Some(pipe.lives[end])
        };
        let arrival = match due {
            Due::Knock(_) => {
                let life = lives[to];
                pipe.is_open = life.is_some();
                pipe.lives[1] = life.unwrap_or_default();
                self.due.push((back, Due::Opened(id, life.is_some())));
                life?;
                Arrival::Knock
            }
            Due::Opened(_, is_open) => {
                if !is_there(pipe, 0) {
                    return None;
                }
                Arrival::Opened(is_open)
            }
            Due::Out(..) => {
                let queue = &mut pipe.directions[1 - end].queue;
                if queue.front().is_none_or(|segment| segment.at > now) {
                    return None;
                }
                let segment = queue.pop_front()?;
                if !is_there(pipe, end) {
                    // A host answers what is for nobody.
                    if segment.piece != Piece::Reset && !pipe.is_closed[1 - end] {
                        pipe.is_closed[end] = true;
                        self.push(back, id, end, Piece::Reset, false);
                    }
                    return None;
                }
                Arrival::Piece {
                    piece: segment.piece,
                    tampered: segment.tampered,
                }
            }
        };
        Some((to, id, arrival))
    }

    // ---- what goes wrong ------------------------------------------------------------------------

    pub(super) fn block(&mut self, from: usize, to: usize) {
        self.blocked[from][to] = true;
    }

    pub(super) fn heal(&mut self, now: Micros) {
        self.blocked = [[false; HOSTS]; HOSTS];
        let waiting: Vec<(PipeId, usize, usize)> = self
            .pipes
            .iter()
            .flat_map(|(id, pipe)| [0, 1].map(|end| (*id, end, pipe.directions[end].queue.len())))
            .collect();
        for (id, end, count) in waiting {
            // What a partition has held back is sent again.
            let at = now + self.delay();
            for _ in 0..count {
                self.due.push((at, Due::Out(id, 1 - end)));
            }
        }
    }

    /// A process is gone. Its host tells those who are connected, in order.
    pub(super) fn died(&mut self, now: Micros, host: usize, life: u32) {
        let ids: Vec<PipeId> = self.pipes.keys().copied().collect();
        for id in ids {
            for end in [0, 1] {
                let pipe = &mut self.pipes.get_mut(&id).expect("it is among them");
                let is_its = pipe.hosts[end] == host && pipe.lives[end] == life;
                if is_its && !std::mem::replace(&mut pipe.is_closed[end], true) {
                    let at = now + self.delay();
                    self.push(at, id, end, Piece::Reset, false);
                }
            }
        }
        self.pipes.retain(|_, pipe| {
            pipe.is_closed != [true; 2] || pipe.directions.iter().any(|it| !it.queue.is_empty())
        });
    }

    /// One of those that are open.
    pub(super) fn any_open(&mut self) -> Option<PipeId> {
        let open = self.pipes.iter();
        let open = open.filter(|(_, pipe)| pipe.is_open && pipe.is_closed == [false; 2]);
        let ids: Vec<PipeId> = open.map(|(id, _)| *id).collect();
        (!ids.is_empty()).then(|| ids[self.rng.below(ids.len())])
    }

    /// Whatever is on its way is lost, and both ends are told.
    pub(super) fn reset(&mut self, now: Micros, id: PipeId) {
        for end in [0, 1] {
            if let Some(pipe) = self.pipes.get_mut(&id) {
                pipe.directions[end].queue.clear();
            }
            let at = now + self.delay();
            self.push(at, id, end, Piece::Reset, false);
        }
    }

    /// Whatever is on its way is lost, and nobody is told, ever.
    pub(super) fn blacken(&mut self, id: PipeId) {
        if let Some(pipe) = self.pipes.get_mut(&id) {
            pipe.is_black = true;
        }
    }

    pub(super) fn tamper(&mut self, id: PipeId, end: usize, how: Tamper) {
        if let Some(pipe) = self.pipes.get_mut(&id) {
            pipe.directions[end].tamper = Some(how);
        }
    }

    /// From now on all goes well.
    pub(super) fn calm(&mut self) {
        for pipe in self.pipes.values_mut() {
            for direction in &mut pipe.directions {
                direction.tamper = None;
            }
        }
    }
}
