//! One stream at its publisher: who subscribes, and how an item reaches them all.
//!
//! An item is given to everybody at once or to nobody: `attempt` first looks whether each reliable
//! subscriber has room, encodes outside of the lock what isn't encoded yet, and then pushes. So a
//! `send` that is dropped while it waits has published nothing.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use botzilla_wire::{
    Encoding, EndCode, Limits, Name, NodeId,
    stream::{End, Granted, Mode, Subscribe, SubscriberId},
};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    Qos, SendError, WhenFull,
    after::After,
    error::full_for,
    inbox::{Ended, Inbox, Place, Room},
    item::Origin,
    kind::{Kind, Prepared, slot},
    name::StreamName,
    port::{Port, RemotePort, To},
    report::{StreamReport, SubscriberReport},
    wish::{AS_PUBLISHED, Form, Wish},
};
use crate::{StreamCounters, directory::facts::StreamFacts, hosted::Hosted, link::BulkLink};

/// Somebody subscribes, or items are kept: publishing is more than counting.
const HEARD: u64 = 1 << 63;

/// One life of a stream.
pub(crate) struct Source {
    pub(crate) origin: Arc<Origin>,
    pub(crate) hosted: Arc<Hosted>,
    pub(crate) qos: Qos,
    pub(crate) kind: Kind,
    incarnation: u64,
    payload_max: usize,
    depth_max: u32,
    /// How many items were published, and [`HEARD`].
    count: AtomicU64,
    state: Mutex<State>,
    /// A subscriber that was full no longer is.
    room: Notify,
}

#[derive(Default)]
struct State {
    has_ended: bool,
    ports: Vec<Port>,
    kept: VecDeque<Kept>,
    /// How long the last item was, by encoding: the next one is likely as long.
    lengths: [usize; 2],
}

/// An item for those who subscribe later.
struct Kept {
    seq: u64,
    published: Instant,
    item: Prepared,
}

/// Why an item wasn't published at once.
pub(crate) enum NotYet {
    /// A subscriber is full; it will be cut off then, if that was said.
    Full {
        until: Option<Instant>,
    },
    Failed(SendError),
}

impl Source {
    pub(crate) fn new(
        origin: Origin,
        hosted: Arc<Hosted>,
        qos: Qos,
        kind: Kind,
        limits: &Limits,
    ) -> Arc<Self> {
        let heard = if qos.keep_last > 0 { HEARD } else { 0 };
        // Different each time, or a subscriber would take another life's numbers for this one's. A
        // varint of it is short enough either way.
        let incarnation = getrandom::u64().unwrap_or_else(|_| next_number());
        Arc::new(Self {
            origin: Arc::new(origin),
            hosted,
            qos,
            kind,
            incarnation,
            payload_max: limits.stream_payload,
            depth_max: limits.stream_depth.max(1),
            count: AtomicU64::new(heard),
            state: Mutex::default(),
            room: Notify::new(),
        })
    }

    pub(crate) fn name(&self) -> &StreamName {
        &self.origin.name
    }

    fn text(&self) -> String {
        self.name().to_string()
    }

    pub(crate) fn ended_error(&self) -> SendError {
        SendError::Ended {
            stream: self.text(),
        }
    }

    pub(crate) fn full_error(&self) -> SendError {
        SendError::Full {
            stream: self.text(),
        }
    }

    /// Counts an item if that is all there is to do. Otherwise it is to be prepared and
    /// [attempted](Self::attempt).
    pub(crate) fn count_unheard(&self) -> bool {
        let unheard = |count: u64| (count & HEARD == 0).then(|| count + 1);
        self.count
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, unheard)
            .is_ok()
    }

    /// Publishes an item to all, or to none.
    pub(crate) fn attempt(
        self: &Arc<Self>,
        item: &mut Prepared,
        after: &mut After,
    ) -> Result<(), NotYet> {
        loop {
            let now = Instant::now();
            let mut state = self.state.lock();
            if state.has_ended {
                return Err(NotYet::Failed(self.ended_error()));
            }
            self.look_for_room(&mut state, item, now, after)?;
            let missing = state.missing(item, now);
            let Some(encoding) = missing else {
                self.push(&mut state, item, now, after);
                return Ok(());
            };
            let length = state.lengths[slot(encoding)];
            drop(state);
            // Not under the lock: it may take milliseconds, and it is other people's code.
            self.encode(item, encoding, length)
                .map_err(NotYet::Failed)?;
        }
    }

    fn encode(
        &self,
        item: &mut Prepared,
        encoding: Encoding,
        length: usize,
    ) -> Result<(), SendError> {
        let bytes = (self.kind.encode)(&*item.shared, encoding, length).map_err(|reason| {
            SendError::Codec {
                stream: self.text(),
                reason,
            }
        })?;
        if bytes.len() > self.payload_max {
            return Err(SendError::TooLarge {
                stream: self.text(),
                len: bytes.len(),
                max: self.payload_max,
            });
        }
        item.bytes[slot(encoding)] = Some(bytes);
        Ok(())
    }

    /// Whether each reliable subscriber takes it. Who has been full for too long is cut off.
    fn look_for_room(
        self: &Arc<Self>,
        state: &mut State,
        item: &Prepared,
        now: Instant,
        after: &mut After,
    ) -> Result<(), NotYet> {
        let mut is_full = false;
        let mut until: Option<Instant> = None;
        let mut out = Vec::new();
        for port in &mut state.ports {
            if port.mode == Mode::Latest || !port.thinning.is_due(now) {
                continue;
            }
            let len = port.encoding.map_or(0, |encoding| item.len(encoding));
            match port.room(len) {
                Room::Free => port.full_since = None,
                Room::Gone => out.push((port.number, None)),
                Room::Full => match self.qos.when_full {
                    WhenFull::Wait => is_full = true,
                    WhenFull::CutOff { after } => {
                        let end = *port.full_since.get_or_insert(now) + after;
                        if now >= end {
                            out.push((port.number, Some(after)));
                        } else {
                            is_full = true;
                            until = Some(until.map_or(end, |until| until.min(end)));
                        }
                    }
                },
            }
        }
        for (number, cut_off) in out {
            if let Some(port) = self.take_port(state, number, after)
                && let Some(time) = cut_off
            {
                let (code, flush) = (EndCode::CutOff, false);
                tracing::warn!(stream = %self.name(), subscriber = %port.who(), ?time, "a subscriber that was full was cut off");
                self.end_port(port, code, full_for(time), flush, after);
            }
        }
        if is_full {
            return Err(NotYet::Full { until });
        }
        Ok(())
    }

    fn push(self: &Arc<Self>, state: &mut State, item: &Prepared, now: Instant, after: &mut After) {
        let seq = self.count.fetch_add(1, Ordering::AcqRel) & !HEARD;
        let mut gone = Vec::new();
        for port in &mut state.ports {
            if !port.thinning.is_due(now) {
                port.thinned += 1;
                port.thinned_ever += 1;
                continue;
            }
            port.thinning.goes(now);
            if !port.push(seq, now, item, after) {
                gone.push(port.number);
            }
        }
        for number in gone {
            self.take_port(state, number, after);
        }
        for (length, bytes) in state.lengths.iter_mut().zip(&item.bytes) {
            if let Some(bytes) = bytes {
                *length = bytes.len();
            }
        }
        if self.qos.keep_last > 0 {
            while state.kept.len() >= self.qos.keep_last as usize {
                if let Some(kept) = state.kept.pop_front() {
                    after.drop_body(super::item::Body::Shared(kept.item.shared));
                }
            }
            state.kept.push_back(Kept {
                seq,
                published: now,
                item: item.clone(),
            });
        }
    }

    /// Waits until a subscriber that was full no longer is; made before one looks.
    pub(crate) fn room(&self) -> tokio::sync::futures::Notified<'_> {
        self.room.notified()
    }

    pub(crate) fn has_room(&self) {
        self.room.notify_waiters();
    }

    // ---- subscribers ----------------------------------------------------------------------------

    /// Gives a subscription of this process its place.
    pub(crate) fn attach(self: &Arc<Self>, inbox: &Arc<Inbox>, after: &mut After) {
        let number = next_number();
        if !inbox.begin(number, &self.origin, Place::Here(Arc::clone(self))) {
            return;
        }
        let wish = &inbox.wish;
        let name = self.name().text();
        let encoding = match self.form(&wish.form) {
            Ok(encoding) => encoding,
            Err(end) => return inbox.ended(name, number, ended(end), after),
        };
        let mut state = self.state.lock();
        if state.has_ended {
            drop(state);
            let end = End::refused(EndCode::PublisherGone, "");
            return inbox.ended(name, number, ended(end), after);
        }
        let granted = self.grant(&state, wish, encoding.unwrap_or(Encoding::Bincode));
        if !inbox.opened(name, number, &granted) {
            self.be_heard_by(&state);
            return;
        }
        let to = To::Here(Arc::clone(inbox), Arc::clone(name));
        let who = wish.subscriber.clone();
        let port = Port::new(number, to, encoding, &granted, who, self.origin.node);
        self.add(&mut state, port, &granted, after);
    }

    /// Gives a subscription of another node its place.
    pub(crate) fn attach_remote(
        self: &Arc<Self>,
        link: &Arc<BulkLink>,
        id: SubscriberId,
        request: &Subscribe,
        queue_max: usize,
        after: &mut After,
    ) -> Result<(Granted, Arc<RemotePort>), End> {
        let encoding = self.kind.encoding(request.encoding);
        let ours = self.kind.layout.as_ref().map(|it| it.fingerprint().0);
        if encoding == Encoding::Bincode
            && request.fingerprint.is_some()
            && request.fingerprint != ours
        {
            return Err(self.kind.wrong_schema());
        }
        let wish = Wish {
            subscriber: request.subscriber.clone(),
            mode: Some(request.mode),
            depth: request.depth,
            interval: request.interval,
            keep_last: request.keep_last,
            ..Wish::new(Form::Raw)
        };
        let mut state = self.state.lock();
        if state.has_ended {
            return Err(End::refused(EndCode::PublisherGone, ""));
        }
        let granted = self.grant(&state, &wish, encoding);
        let number = next_number();
        let remote = RemotePort::new(link, id, number, Arc::clone(self), &granted, queue_max);
        let to = To::There(Arc::clone(&remote));
        let port = Port::new(
            number,
            to,
            Some(encoding),
            &granted,
            wish.subscriber,
            link.peer(),
        );
        self.add(&mut state, port, &granted, after);
        Ok((granted, remote))
    }

    /// How items reach a subscription of this process: shared, or encoded so.
    fn form(&self, form: &Form) -> Result<Option<Encoding>, End> {
        match form {
            Form::Typed { type_id, .. } if *type_id == self.kind.type_id => Ok(None),
            // Two types in one process, of one definition or of two that are alike.
            Form::Typed { layout, .. } => match (layout, &self.kind.layout) {
                (Some(theirs), Some(ours)) if theirs.fingerprint() == ours.fingerprint() => {
                    Ok(Some(Encoding::Bincode))
                }
                (Some(_), Some(_)) => Err(self.kind.wrong_schema()),
                _ => Ok(Some(Encoding::Json)),
            },
            Form::Json => Ok(Some(Encoding::Json)),
            Form::Raw => Ok(Some(self.kind.encoding(Encoding::Bincode))),
        }
    }

    fn grant(&self, state: &State, wish: &Wish, encoding: Encoding) -> Granted {
        let mode = match self.qos.mode {
            Mode::Latest => Mode::Latest,
            Mode::Reliable => wish.mode(),
        };
        if mode != wish.mode() && wish.mode == Some(Mode::Reliable) {
            tracing::debug!(stream = %self.name(), "a subscriber would have it reliable, but it is published as latest");
        }
        let depth = match wish.depth {
            AS_PUBLISHED => self.qos.depth,
            depth => depth,
        };
        let depth = depth.clamp(1, self.depth_max);
        let keep_last = (wish.keep_last.min(depth) as usize).min(state.kept.len());
        // From here on no item passes by unheard.
        let next = self.count.fetch_or(HEARD, Ordering::AcqRel) & !HEARD;
        let first = state.kept.len() - keep_last;
        Granted {
            incarnation: self.incarnation,
            next: state.kept.get(first).map_or(next, |kept| kept.seq),
            encoding,
            fingerprint: self.kind.layout.as_ref().map(|it| it.fingerprint().0),
            mode,
            cuts_off: mode == Mode::Reliable && self.qos.when_full != WhenFull::Wait,
            depth,
            keep_last: u32::try_from(keep_last).unwrap_or(u32::MAX),
            interval: wish.interval,
        }
    }

    fn add(&self, state: &mut State, mut port: Port, granted: &Granted, after: &mut After) {
        let first = state.kept.len() - granted.keep_last as usize;
        for kept in state.kept.range_mut(first..) {
            if let Some(encoding) = port.encoding
                && kept.item.bytes(encoding).is_none()
                && let Err(error) = self.encode(&mut kept.item, encoding, 0)
            {
                tracing::warn!(%error, "an item that was kept is left out");
                continue;
            }
            port.push(kept.seq, kept.published, &kept.item, after);
        }
        state.ports.push(port);
    }

    /// A subscriber no longer wants it, or can't be reached.
    pub(crate) fn detach(self: &Arc<Self>, number: u64, after: &mut After) {
        let mut state = self.state.lock();
        let port = self.take_port(&mut state, number, after);
        drop(state);
        if let Some(port) = port {
            port.discard(after);
        }
    }

    fn take_port(
        self: &Arc<Self>,
        state: &mut State,
        number: u64,
        after: &mut After,
    ) -> Option<Port> {
        let at = state.ports.iter().position(|it| it.number == number)?;
        let port = state.ports.swap_remove(at);
        self.be_heard_by(state);
        // Whoever waits for it waits no longer.
        after.rooms.push(Arc::clone(self));
        Some(port)
    }

    /// With nobody left to hear, items are only counted.
    fn be_heard_by(&self, state: &State) {
        if state.ports.is_empty() && self.qos.keep_last == 0 && !state.has_ended {
            self.count.fetch_and(!HEARD, Ordering::AcqRel);
        }
    }

    /// The publisher is gone, or its component or node.
    pub(crate) fn end(self: &Arc<Self>, code: EndCode, after: &mut After) {
        let ports = {
            let mut state = self.state.lock();
            if std::mem::replace(&mut state.has_ended, true) {
                return;
            }
            // From now on `attempt` is what publishing comes to, and that says so.
            self.count.fetch_or(HEARD, Ordering::AcqRel);
            for kept in state.kept.drain(..) {
                after.drop_body(super::item::Body::Shared(kept.item.shared));
            }
            std::mem::take(&mut state.ports)
        };
        for port in ports {
            self.end_port(port, code, String::new(), true, after);
        }
        after.rooms.push(Arc::clone(self));
    }

    fn end_port(&self, port: Port, code: EndCode, detail: String, flush: bool, after: &mut After) {
        let end = End {
            code,
            detail,
            next: self.count.load(Ordering::Acquire) & !HEARD,
            thinned: port.thinned,
            flush,
        };
        port.end(end, after);
    }

    pub(crate) fn published(&self) -> u64 {
        self.count.load(Ordering::Acquire) & !HEARD
    }

    pub(crate) fn subscribers(&self) -> usize {
        self.state.lock().ports.len()
    }

    /// What others are told of it.
    pub(crate) fn facts(&self) -> StreamFacts {
        StreamFacts {
            name: self.name().stream().to_string(),
            type_name: self.kind.type_name.to_owned(),
            reliable: self.qos.is_reliable(),
            depth: self.qos.depth,
            keep_last: self.qos.keep_last,
            fingerprint: self
                .kind
                .layout
                .as_ref()
                .map(|it| it.fingerprint().to_string()),
        }
    }

    pub(crate) fn counters(&self) -> StreamCounters {
        let state = self.state.lock();
        StreamCounters {
            stream: self.text(),
            published: self.count.load(Ordering::Acquire) & !HEARD,
            subscribers: state.ports.iter().map(SubscriberReport::from).collect(),
        }
    }

    pub(crate) fn report(&self) -> StreamReport {
        // Not under the lock: it is the type's own code.
        let schema = (self.kind.schema)().to_string();
        let state = self.state.lock();
        StreamReport {
            component: self.name().component().to_string(),
            stream: self.name().stream().to_string(),
            type_name: self.kind.type_name.to_owned(),
            fingerprint: self
                .kind
                .layout
                .as_ref()
                .map(|it| it.fingerprint().to_string()),
            layout: self.kind.layout.as_ref().map(|it| it.text().to_owned()),
            schema,
            reliable: self.qos.is_reliable(),
            depth: self.qos.depth,
            keep_last: self.qos.keep_last,
            published: self.count.load(Ordering::Acquire) & !HEARD,
            subscribers: state.ports.iter().map(SubscriberReport::from).collect(),
        }
    }
}

impl State {
    /// An encoding that somebody takes the item in, and that it isn't in yet.
    fn missing(&self, item: &Prepared, now: Instant) -> Option<Encoding> {
        let due = self.ports.iter().filter(|port| port.thinning.is_due(now));
        due.filter_map(|port| port.encoding)
            .find(|encoding| item.bytes(*encoding).is_none())
    }
}

fn ended(end: End) -> Ended {
    Ended {
        code: end.code,
        missed: 0,
        thinned: 0,
        detail: end.detail,
    }
}

/// Numbers for places at publishers: each is used once a process.
pub(crate) fn next_number() -> u64 {
    static NUMBERS: AtomicU64 = AtomicU64::new(1);
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

/// Who a subscriber is, for people.
pub(crate) fn who(component: Option<&Name>, node: NodeId) -> String {
    match component {
        Some(component) => component.to_string(),
        None => format!("a program on node {node}"),
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("name", self.name())
            .finish_non_exhaustive()
    }
}
