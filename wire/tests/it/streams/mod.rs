//! Streams: two bulk sessions in memory and virtual time.

mod credit;
mod ends;
mod hostile;
mod items;
mod model;
mod taking_turns;

use std::time::{Duration, Instant};

use botzilla_wire::{
    encoding::Encoding,
    error::SessionError,
    handshake::Established,
    ident::Lane,
    limits::Limits,
    output::Output,
    stream::{
        Event, Granted, Mode, NotPushed, Outgoing, StreamSession, Subscribe, SubscriberId,
        SubscriptionId,
    },
};
use bytes::{Buf, Bytes, BytesMut};

use crate::pair::{Forger, Guard, established_in, established_on, name};

/// One end of a bulk connection.
pub(crate) struct Bulk {
    pub(crate) session: StreamSession,
    pub(crate) input: BytesMut,
    pub(crate) events: Vec<Event>,
}

impl Bulk {
    pub(crate) fn new(established: Established, limits: &Limits, now: Instant) -> Self {
        Self {
            session: StreamSession::new(established, limits, now),
            input: BytesMut::new(),
            events: Vec::new(),
        }
    }

    pub(crate) fn transmit(&mut self, now: Instant) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(some) = self.transmit_once(now) {
            bytes.extend_from_slice(&some);
        }
        assert!(
            !self.session.wants_transmit(),
            "what wants to be sealed was"
        );
        bytes
    }

    /// What one call seals.
    pub(crate) fn transmit_once(&mut self, now: Instant) -> Option<Bytes> {
        let mut out = Output::new();
        let any = self.session.poll_transmit(now, &mut out);
        any.then(|| out.copy_to_bytes(out.remaining()))
    }

    pub(crate) fn receive(&mut self, now: Instant, bytes: &[u8]) -> Result<(), SessionError> {
        self.input.extend_from_slice(bytes);
        self.session.receive(now, &mut self.input, &mut self.events)
    }

    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The number, missed and thinned out of the items among the events, which are taken.
    pub(crate) fn take_items(&mut self) -> Vec<(u64, u64, u64)> {
        let item = |event| match event {
            Event::Item {
                seq,
                missed,
                thinned,
                ..
            } => Some((seq, missed, thinned)),
            _ => None,
        };
        self.take_events().into_iter().filter_map(item).collect()
    }

    pub(crate) fn push(
        &mut self,
        now: Instant,
        id: SubscriberId,
        seq: u64,
        payload: Bytes,
    ) -> Result<usize, NotPushed> {
        self.session.push(id, outgoing(now, seq, 0, payload))
    }
}

pub(crate) fn outgoing(now: Instant, seq: u64, thinned: u64, payload: Bytes) -> Outgoing {
    Outgoing {
        seq,
        thinned,
        published: now,
        payload,
    }
}

/// A publisher and a subscriber, if need be the other way round as well.
pub(crate) struct BulkPair {
    pub(crate) now: Instant,
    pub(crate) publisher: Bulk,
    pub(crate) subscriber: Bulk,
}

pub(crate) fn ask(mode: Mode, depth: u32, items: u64, bytes: u64) -> Subscribe {
    Subscribe {
        component: name("lidar"),
        stream: name("scan"),
        subscriber: None,
        encoding: Encoding::Bincode,
        fingerprint: Some([3; 8]),
        mode,
        depth,
        keep_last: 0,
        interval: Duration::ZERO,
        items,
        bytes,
        resumes: None,
    }
}

pub(crate) fn grant_all(request: &Subscribe) -> Granted {
    Granted {
        incarnation: 1,
        next: 0,
        encoding: request.encoding,
        fingerprint: request.fingerprint,
        mode: request.mode,
        cuts_off: false,
        depth: request.depth,
        keep_last: 0,
        interval: request.interval,
    }
}

impl BulkPair {
    pub(crate) fn new() -> Self {
        Self::with(&Limits::default())
    }

    pub(crate) fn with(limits: &Limits) -> Self {
        Self::of(None, limits)
    }

    pub(crate) fn guarded(guard: Guard) -> Self {
        Self::of(guard, &Limits::default())
    }

    fn of(guard: Guard, limits: &Limits) -> Self {
        let now = Instant::now();
        let (dialled, accepted) = established_in(guard, Lane::Bulk, limits, limits, now);
        Self {
            now,
            subscriber: Bulk::new(dialled, limits, now),
            publisher: Bulk::new(accepted, limits, now),
        }
    }

    /// A session whose peer is played by a forger, who holds its keys.
    pub(crate) fn forged(limits: &Limits) -> (Forger, Bulk, Instant) {
        let now = Instant::now();
        let (dialled, accepted) = established_on(Lane::Bulk, limits, limits, now);
        let forger = Forger::new(dialled.keys);
        (forger, Bulk::new(accepted, limits, now), now)
    }

    /// Carries everything both ways until nothing is left to say.
    pub(crate) fn settle(&mut self) {
        loop {
            let down = self.publisher.transmit(self.now);
            let up = self.subscriber.transmit(self.now);
            if down.is_empty() && up.is_empty() {
                return;
            }
            self.subscriber.receive(self.now, &down).unwrap();
            self.publisher.receive(self.now, &up).unwrap();
        }
    }

    /// Subscribes, is accepted, and is told so.
    pub(crate) fn subscribe(&mut self, asked: Subscribe) -> (SubscriptionId, SubscriberId) {
        let ours = self.subscriber.session.subscribe(asked).unwrap();
        self.settle();
        let theirs = self
            .publisher
            .take_events()
            .into_iter()
            .find_map(|event| match event {
                Event::Subscribe { id, request } => Some((id, request)),
                _ => None,
            });
        let (theirs, request) = theirs.unwrap();
        let depth = self.publisher.session.accept(theirs, grant_all(&request));
        assert_eq!(depth, Some(request.depth));
        self.settle();
        let events = self.subscriber.take_events();
        assert!(matches!(events[..], [Event::Subscribed { id, .. }] if id == ours));
        (ours, theirs)
    }

    pub(crate) fn push(&mut self, id: SubscriberId, seq: u64, len: usize) {
        let payload = crate::pair::bytes_of(len);
        self.publisher.push(self.now, id, seq, payload).unwrap();
    }
}
