//! Two sessions in memory and virtual time, and a forger who holds the keys of one of them.

use std::time::{Duration, Instant};

use botzilla_wire::{
    encoding::Encoding,
    error::SessionError,
    handshake::{Acceptor, Cipher, Dialler, Established, Local, Mode},
    ident::{Lane, Name, NodeId},
    keys::{Keys, RecordKeys},
    limits::Limits,
    output::Output,
    record::{LENGTH_LEN, OVERHEAD},
    route::{Route, RouteCounters, RouteNo, Scope},
    secret::Secret,
    session::{Event, Kind, Send, Session, Short},
};
use bytes::{Buf, Bytes, BytesMut};

/// The private ephemeral keys of both ends, in noise mode.
pub(crate) const EPHEMERAL: [[u8; 32]; 2] = [[3; 32], [4; 32]];

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// One end of a pair.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) session: Session<u64>,
    pub(crate) input: BytesMut,
    pub(crate) events: Vec<Event<u64>>,
}

/// Two sessions that are connected by whoever calls [`Pair::settle`].
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) a: End,
    pub(crate) b: End,
}

/// How a pair's records are protected: without a cipher, by tags alone.
pub(crate) type Guard = Option<Cipher>;

/// All of them.
pub(crate) const GUARDS: [Guard; 3] = [None, Some(Cipher::AesGcm), Some(Cipher::ChaChaPoly)];

fn local(id: u8, lane: Lane, limits: &Limits, guard: Guard) -> Local {
    let mut local = Local::new(
        NodeId([id; 16]),
        vec![Secret::from_bytes("key", [7; 32]).unwrap()],
    );
    local.lane = lane;
    local.limits = limits.clone();
    if let Some(cipher) = guard {
        local.modes = vec![Mode::Noise];
        local.ciphers = vec![cipher];
    }
    local
}

/// Both ends after a handshake: the dialler's, the acceptor's.
pub(crate) fn established(a: &Limits, b: &Limits, now: Instant) -> (Established, Established) {
    established_on(Lane::Control, a, b, now)
}

/// The same, on a lane.
pub(crate) fn established_on(
    lane: Lane,
    a: &Limits,
    b: &Limits,
    now: Instant,
) -> (Established, Established) {
    established_in(None, lane, a, b, now)
}

/// The same, protected so. It always comes to the same keys.
pub(crate) fn established_in(
    guard: Guard,
    lane: Lane,
    a: &Limits,
    b: &Limits,
    now: Instant,
) -> (Established, Established) {
    let ends = [(1, a), (2, b)].map(|(id, limits)| local(id, lane, limits, guard));
    let (ends, _) = handshake(&ends, now);
    ends
}

/// The same, with keys that are replaced after so many records.
pub(crate) fn established_anew(
    rekey_after: u64,
    cipher: Cipher,
    lane: Lane,
    now: Instant,
) -> ((Established, Established), Vec<Bytes>) {
    let limits = Limits::default();
    let ends = [1, 2].map(|id| {
        let mut local = local(id, lane, &limits, Some(cipher));
        local.rekey_after = rekey_after;
        local
    });
    handshake(&ends, now)
}

/// The four messages of a handshake.
pub(crate) fn handshake_messages(lane: Lane, a: &Limits, b: &Limits, now: Instant) -> Vec<Bytes> {
    let ends = [(1, a), (2, b)].map(|(id, limits)| local(id, lane, limits, None));
    let (_, messages) = handshake(&ends, now);
    messages
}

fn handshake(ends: &[Local; 2], now: Instant) -> ((Established, Established), Vec<Bytes>) {
    let mut dialler = Dialler::new(&ends[0], None, None, [1; 32], now);
    let mut acceptor = Acceptor::new(&ends[1], [2; 32], now);
    dialler.fix_ephemeral_key_for_testing_only(EPHEMERAL[0]);
    acceptor.fix_ephemeral_key_for_testing_only(EPHEMERAL[1]);
    let (mut to_a, mut to_b) = (BytesMut::new(), BytesMut::new());
    let mut accepted = None;
    let mut messages = Vec::new();
    loop {
        while let Some(bytes) = dialler.poll_transmit() {
            to_b.extend_from_slice(&bytes);
            messages.push(bytes);
        }
        if accepted.is_none() && acceptor.receive(now, &mut to_b).unwrap().is_some() {
            accepted = Some(acceptor.accept());
        }
        while let Some(bytes) = acceptor.poll_transmit() {
            to_a.extend_from_slice(&bytes);
            messages.push(bytes);
        }
        if let Some(dialled) = dialler.receive(now, &mut to_a).unwrap() {
            let accepted = accepted.expect("the acceptor is done before the dialler");
            return ((dialled, accepted), messages);
        }
    }
}

/// The default limits, changed.
pub(crate) fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A route to a component.
pub(crate) fn route(to: &str, urgent: bool) -> Route {
    Route {
        scope: Scope::Component(name(to)),
        sender: None,
        message: "Message".to_owned(),
        encoding: Encoding::Bincode,
        fingerprint: Some([3; 8]),
        urgent,
    }
}

pub(crate) fn bytes_of(len: usize) -> Bytes {
    (0..len).map(|i| i as u8).collect()
}

impl End {
    fn new(established: Established, limits: &Limits, now: Instant) -> Self {
        let session = Session::new(established, limits, now);
        Self {
            session,
            input: BytesMut::new(),
            events: Vec::new(),
        }
    }

    /// Everything that is to be sealed, as bytes.
    pub(crate) fn transmit(&mut self, now: Instant) -> Vec<u8> {
        let mut out = Output::new();
        let mut bytes = Vec::new();
        while self.session.poll_transmit(now, &mut out) {
            bytes.extend_from_slice(&out.copy_to_bytes(out.remaining()));
        }
        assert!(
            !self.session.wants_transmit(),
            "what wants to be sealed was"
        );
        bytes
    }

    pub(crate) fn receive(&mut self, now: Instant, bytes: &[u8]) -> Result<(), SessionError> {
        self.input.extend_from_slice(bytes);
        self.session.receive(now, &mut self.input, &mut self.events)
    }

    pub(crate) fn try_send(
        &mut self,
        now: Instant,
        to: &Route,
        kind: Kind,
        payload: Bytes,
        token: u64,
    ) -> Result<u64, Short> {
        let route = self.session.route(to).ok_or(Short::Stale)?;
        let send = Send {
            route,
            kind,
            deadline: now + 5 * SECOND,
            path: &[],
            payload,
        };
        self.session.try_send(send, token).map_err(|(back, short)| {
            assert_eq!(back, token, "the token comes back");
            short
        })
    }

    pub(crate) fn take_events(&mut self) -> Vec<Event<u64>> {
        std::mem::take(&mut self.events)
    }

    /// The ids of the requests among the events, which are taken.
    pub(crate) fn take_requests(&mut self) -> Vec<u64> {
        let ids = |event| match event {
            Event::Request { id, .. } => Some(id),
            _ => None,
        };
        self.take_events().into_iter().filter_map(ids).collect()
    }

    /// The tokens and payload sizes of what was answered or delivered, in order.
    pub(crate) fn take_tokens(&mut self) -> Vec<u64> {
        let tokens = |event| match event {
            Event::Replied { token, .. }
            | Event::Delivered { token }
            | Event::Failed { token, .. } => Some(token),
            _ => None,
        };
        self.take_events().into_iter().filter_map(tokens).collect()
    }
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self::with(&Limits::default(), &Limits::default())
    }

    pub(crate) fn with(a: &Limits, b: &Limits) -> Self {
        Self::guarded(None, a, b)
    }

    pub(crate) fn guarded(guard: Guard, a: &Limits, b: &Limits) -> Self {
        let now = Instant::now();
        let (dialled, accepted) = established_in(guard, Lane::Control, a, b, now);
        Self {
            now,
            a: End::new(dialled, a, now),
            b: End::new(accepted, b, now),
        }
    }

    /// A pair whose dialling end is played by a forger, who holds its keys.
    pub(crate) fn forged(limits: &Limits) -> (Forger, End, Instant) {
        let now = Instant::now();
        let (dialled, accepted) = established(limits, limits, now);
        (
            Forger::new(dialled.keys),
            End::new(accepted, limits, now),
            now,
        )
    }

    /// Carries everything both ways until nothing is left to say.
    pub(crate) fn settle(&mut self) {
        self.try_settle().unwrap();
    }

    pub(crate) fn try_settle(&mut self) -> Result<(), SessionError> {
        loop {
            let to_b = self.a.transmit(self.now);
            let to_a = self.b.transmit(self.now);
            if to_a.is_empty() && to_b.is_empty() {
                return Ok(());
            }
            if !to_b.is_empty() {
                self.b.receive(self.now, &to_b)?;
            }
            if !to_a.is_empty() {
                self.a.receive(self.now, &to_a)?;
            }
        }
    }

    /// Lets time pass, a tenth of a second at a time, with all timers.
    pub(crate) fn advance(&mut self, time: Duration) -> Result<(), SessionError> {
        let end = self.now + time;
        while self.now < end {
            self.now += SECOND / 10;
            for session in [&mut self.a.session, &mut self.b.session] {
                if session.poll_timeout() <= self.now {
                    session.handle_timeout(self.now)?;
                }
            }
            self.try_settle()?;
        }
        Ok(())
    }

    pub(crate) fn a_sends(&mut self, to: &str, kind: Kind, len: usize, token: u64) -> u64 {
        self.a
            .try_send(self.now, &route(to, false), kind, bytes_of(len), token)
            .unwrap()
    }
}

/// Splits a stream into its records.
pub(crate) fn records(bytes: &[u8]) -> Vec<Vec<u8>> {
    records_in(None, bytes)
}

/// The same, of records that are protected so.
pub(crate) fn records_in(guard: Guard, mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let besides = if guard.is_some() {
        LENGTH_LEN
    } else {
        OVERHEAD
    };
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let len = u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize;
        let (record, rest) = bytes.split_at(len + besides);
        records.push(record.to_vec());
        bytes = rest;
    }
    records
}

/// Says whatever it is told to, authentically.
#[derive(Debug)]
pub(crate) struct Forger {
    keys: RecordKeys,
    next: u64,
}

impl Forger {
    pub(crate) fn new(keys: Keys) -> Self {
        let Keys::Mac(keys) = keys else {
            panic!("a forger speaks MAC mode")
        };
        Self { keys, next: 0 }
    }

    pub(crate) fn record(&mut self, body: &[u8]) -> Vec<u8> {
        let mut record = (body.len() as u32).to_le_bytes().to_vec();
        record.extend_from_slice(body);
        let tag = self.keys.seal_key().tag(self.next, &[&record]);
        self.next += 1;
        record.extend_from_slice(&tag);
        record
    }
}

/// The counters of all routes, added up.
pub(crate) fn total<'a>(
    routes: impl Iterator<Item = (RouteNo, &'a Route, RouteCounters)>,
) -> [u64; 5] {
    routes.fold(
        [0; 5],
        |[sent, delivered, refused, failed, open], (_, _, counters)| {
            [
                sent + counters.sent,
                delivered + counters.delivered,
                refused + counters.refused,
                failed + counters.failed,
                open + counters.open,
            ]
        },
    )
}
