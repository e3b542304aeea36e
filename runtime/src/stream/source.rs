//! One stream at its publisher: who subscribes, and how an item reaches them all.
//!
//! An item is given to everybody at once or to nobody: `attempt` first looks whether each reliable
//! subscriber has room, encodes outside of the lock what isn't encoded yet, and then pushes. So a
//! `send` that is dropped while it waits has published nothing.

mod places;
mod tell;

use std::{
    any::Any,
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use botzilla_wire::{
    Encoding, EndCode, Limits, Name, NodeId,
    stream::{End, Mode},
};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    Qos, SendError,
    after::After,
    error::full_for,
    inbox::Room,
    item::{Body, Origin},
    kind::{Kind, Obstacle, Prepared, slot},
    name::StreamName,
    port::Port,
};
use crate::{ambient::Ambient, hosted::Hosted};

/// How long a `send` waits before that is logged.
const LONG: Duration = Duration::from_secs(1);
/// The same thing of one stream is logged this often at most.
const SELDOM: Duration = Duration::from_secs(10);

/// An item of so many bytes takes longer to encode than others on the thread should wait for, time
/// and again.
const HEAVY: usize = 64 * 1024;

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
    /// The last item was large, in some encoding.
    is_heavy: AtomicBool,
    /// A subscriber that was full no longer is.
    room: Notify,
    /// When it was last logged that a `send` waits.
    complained: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct State {
    has_ended: bool,
    ports: Vec<Port>,
    kept: VecDeque<Kept>,
    /// How long the last item was, by encoding: the next one is likely as long.
    lengths: [usize; 2],
    /// How many subscribers of each encoding are about to have a place.
    joining: [u32; 2],
    /// When it was last logged that a subscriber can't get an item that others get.
    obstructed: Option<Instant>,
}

/// An item for those who subscribe later.
struct Kept {
    seq: u64,
    published: Instant,
    item: Prepared,
}

/// Why an item wasn't published at once.
pub(crate) enum NotYet {
    Full(Full),
    Failed(SendError),
}

/// A subscriber is full.
pub(crate) struct Full {
    /// It will be cut off then, if that was said.
    pub(crate) until: Option<Instant>,
    /// It has no room before the code that sends is done: there is nothing to wait for.
    pub(crate) is_cycle: bool,
    component: Option<Name>,
    node: NodeId,
}

impl Full {
    pub(crate) fn who(&self) -> String {
        who(self.component.as_ref(), self.node)
    }
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
            is_heavy: AtomicBool::new(false),
            room: Notify::new(),
            complained: Mutex::default(),
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

    pub(crate) fn cycle_error(&self, full: &Full) -> SendError {
        SendError::Cycle {
            stream: self.text(),
            subscriber: full.who(),
        }
    }

    pub(crate) fn full_error(&self) -> SendError {
        SendError::Full {
            stream: self.text(),
        }
    }

    /// Whether publishing is more than counting.
    pub(crate) fn is_heard(&self) -> bool {
        self.count.load(Ordering::Acquire) & HEARD != 0
    }

    /// Counts an item if that is all there is to do. Otherwise it is to be prepared and
    /// [attempted](Self::attempt).
    pub(crate) fn count_unheard(&self) -> bool {
        let unheard = |count: u64| (count & HEARD == 0).then(|| count + 1);
        self.count
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, unheard)
            .is_ok()
    }

    /// Whether the next item is likely to be a large one, to be encoded.
    pub(crate) fn is_heavy(&self) -> bool {
        self.is_heavy.load(Ordering::Relaxed)
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
            let form = self.encode(&*item.shared, encoding, length);
            match form {
                Err(error) if encoding == self.kind.native() => {
                    return Err(NotYet::Failed(error));
                }
                // Else it is a matter of those alone who would have it so.
                form => item.set(encoding, form),
            }
        }
    }

    fn encode(
        &self,
        item: &(dyn Any + Send + Sync),
        encoding: Encoding,
        length: usize,
    ) -> Result<Bytes, SendError> {
        let bytes = (self.kind.encode)(item, encoding, length);
        let bytes = bytes.map_err(|reason| SendError::Codec {
            stream: self.text(),
            reason,
        })?;
        if bytes.len() > self.payload_max {
            return Err(SendError::TooLarge {
                stream: self.text(),
                len: bytes.len(),
                max: self.payload_max,
            });
        }
        Ok(bytes)
    }

    /// Whether each reliable subscriber takes it. Who has been full for too long is cut off.
    fn look_for_room(
        self: &Arc<Self>,
        state: &mut State,
        item: &Prepared,
        now: Instant,
        after: &mut After,
    ) -> Result<(), NotYet> {
        let mut full: Option<Full> = None;
        let mut out = Vec::new();
        for port in &mut state.ports {
            if port.mode == Mode::Latest
                || !port.thinning.is_due(now)
                || port.obstacle(item).is_some()
            {
                continue;
            }
            let len = port.encoding.map_or(0, |encoding| item.len(encoding));
            match port.room(len) {
                Room::Free => port.full_since = None,
                Room::Gone => out.push((port.number, None)),
                Room::Full => {
                    let since = *port.full_since.get_or_insert(now);
                    let cut_off = self.qos.cut_off(since);
                    if let Some((end, time)) = cut_off
                        && now >= end
                    {
                        out.push((port.number, Some(time)));
                        continue;
                    }
                    let holds_up = |component| Ambient::holds_up(component);
                    let is_cycle = cut_off.is_none()
                        && port.by_handler
                        && port.component.as_ref().is_some_and(holds_up);
                    let full = full.get_or_insert_with(|| Full {
                        until: None,
                        is_cycle: false,
                        component: port.component.clone(),
                        node: port.node,
                    });
                    if is_cycle {
                        full.is_cycle = true;
                        full.component.clone_from(&port.component);
                    }
                    if let Some((end, _)) = cut_off {
                        full.until = Some(full.until.map_or(end, |until| until.min(end)));
                    }
                }
            }
        }
        for (number, cut_off) in out {
            if let Some(port) = self.take_port(state, number, after)
                && let Some(time) = cut_off
            {
                let (stream, subscriber) = (self.text(), port.who());
                after.log(move || {
                    tracing::warn!(
                        stream,
                        subscriber,
                        ?time,
                        "a subscriber that was full was cut off"
                    );
                });
                self.end_port(port, EndCode::CutOff, full_for(time), false, after);
            }
        }
        match full {
            Some(full) => Err(NotYet::Full(full)),
            None => Ok(()),
        }
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
            if let Some(obstacle) = port.obstacle(item) {
                gone.push((port.number, Some(obstacle)));
            } else if !port.push(seq, now, item, after) {
                gone.push((port.number, None));
            }
        }
        for (number, obstacle) in gone {
            if let Some(port) = self.take_port(state, number, after)
                && let Some(obstacle) = obstacle
            {
                self.end_obstructed(state, port, seq, &obstacle, now, after);
            }
        }
        for (length, len) in state.lengths.iter_mut().zip(item.lengths()) {
            *length = len.unwrap_or(*length);
        }
        let is_heavy = item.lengths().iter().flatten().any(|len| *len >= HEAVY);
        self.is_heavy.store(is_heavy, Ordering::Relaxed);
        if self.qos.keep_last > 0 {
            while state.kept.len() >= self.qos.keep_last as usize {
                if let Some(kept) = state.kept.pop_front() {
                    after.drop_body(Body::Shared(kept.item.shared));
                }
            }
            state.kept.push_back(Kept {
                seq,
                published: now,
                item: item.clone(),
            });
        }
    }

    /// A subscriber that can't get an item is told so, and may begin again after it.
    fn end_obstructed(
        &self,
        state: &mut State,
        port: Port,
        seq: u64,
        obstacle: &Obstacle,
        now: Instant,
        after: &mut After,
    ) {
        let text = format!("item {seq}: {}", obstacle.text);
        if is_seldom(&mut state.obstructed, now) {
            let (stream, subscriber, reason) = (self.text(), port.who(), text.clone());
            after.log(move || {
                tracing::warn!(
                    stream,
                    subscriber,
                    reason,
                    "a subscriber can't get an item that others get"
                );
            });
        }
        self.end_port(port, obstacle.code, text, true, after);
    }

    /// A `send` has waited since then: that is logged if it is long. When to look again.
    pub(crate) fn complain(&self, full: &Full, since: Instant, now: Instant) -> Instant {
        let waited = now.saturating_duration_since(since);
        if waited < LONG {
            return since + LONG;
        }
        if is_seldom(&mut self.complained.lock(), now) {
            tracing::warn!(
                stream = %self.name(), subscriber = full.who(), ?waited,
                "a send waits for a reliable subscriber that is full and doesn't read"
            );
        }
        now + SELDOM
    }

    /// Waits until a subscriber that was full no longer is; made before one looks.
    pub(crate) fn room(&self) -> tokio::sync::futures::Notified<'_> {
        self.room.notified()
    }

    pub(crate) fn has_room(&self) {
        self.room.notify_waiters();
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
                after.drop_body(Body::Shared(kept.item.shared));
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
}

impl State {
    /// An encoding that somebody takes the item in, and that nobody has tried yet.
    fn missing(&self, item: &Prepared, now: Instant) -> Option<Encoding> {
        let due = self.ports.iter().filter(|port| port.thinning.is_due(now));
        let joining = [Encoding::Bincode, Encoding::Json];
        let joining = joining.iter().filter(|it| self.joining[slot(**it)] > 0);
        due.filter_map(|port| port.encoding)
            .chain(joining.copied())
            .find(|encoding| item.lacks(*encoding))
    }
}

/// Whether it is long since this was logged; it is logged now.
fn is_seldom(last: &mut Option<Instant>, now: Instant) -> bool {
    let is_due = last.is_none_or(|last| now.saturating_duration_since(last) >= SELDOM);
    if is_due {
        *last = Some(now);
    }
    is_due
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
