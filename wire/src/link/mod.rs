//! What the sessions of both lanes have in common: records, long frames, pings, the end.
//!
//! ```text
//!   link::receive   records ──► frames ──► chunk, ping, close: here
//!                                     └──► the lane's own kinds: Frames::frame
//!   Link            begin ──► the lane's frames ──► seal;  put_ping, put_close
//! ```

mod assembly;
mod receive;
mod timers;

use std::time::Instant;

use self::timers::Timers;
pub(crate) use self::{
    assembly::Assembly,
    receive::{Body, Frames, Located, no_payload, receive},
};
use crate::{
    code::CloseReason,
    error::SessionError,
    frame::{Close, Drain, FailureFrame, Ping},
    ident::Lane,
    keys::Keys,
    limits::Limits,
    output::Output,
    record::{Records, Unsealed},
};

/// The least that our own records may be limited to: what isn't chunked has to fit.
const RECORD_MIN: usize = 32 * 1024;

/// How much may wait for the socket before no more is sealed.
pub(crate) const BUDGET: usize = 256 * 1024;

#[derive(Debug)]
pub(crate) enum Phase {
    Open,
    /// A close frame is to be sealed after what waits.
    Closing {
        reason: CloseReason,
        detail: String,
    },
    /// It was sealed.
    Closed,
}

/// Whether we still begin something new on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Draining {
    No,
    /// A drain frame is to follow what waits.
    Due,
    Said,
}

/// The part of a session that knows nothing of what its lane is for.
#[derive(Debug)]
pub(crate) struct Link {
    records: Records,
    /// The longest body of a record of ours.
    pub(crate) body_max: usize,
    /// Payloads of this size and more are slices of what was read.
    slice_from: usize,
    pub(crate) timers: Timers,
    pub(crate) phase: Phase,
    /// Whether we begin something new.
    drain: Draining,
    /// The peer begins nothing new.
    peer_drains: bool,
    /// What the peer's close says it has received.
    pub(crate) peer_received: Option<u64>,
    pub(crate) failed: bool,
    /// How much of the input was looked at and left.
    unread: usize,
}

impl Link {
    pub(crate) fn new(lane: Lane, keys: Keys, limits: &Limits, now: Instant) -> Self {
        let records = Records::new(keys, lane);
        let ours = match lane {
            Lane::Control => records.max.min(limits.control_record.max(RECORD_MIN)),
            Lane::Bulk => records.max,
        };
        Self {
            body_max: ours - records.overhead,
            slice_from: records.max / 4,
            records,
            timers: Timers::new(limits, now),
            phase: Phase::Open,
            drain: Draining::No,
            peer_drains: false,
            peer_received: None,
            failed: false,
            unread: 0,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    pub(crate) fn is_sealed_off(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// Whether both close frames are past.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_sealed_off() && (self.peer_received.is_some() || self.failed)
    }

    /// The connection is gone.
    pub(crate) fn end(&mut self) {
        self.failed = true;
        self.phase = Phase::Closed;
    }

    /// Nothing new is begun: a drain frame is to follow what waits.
    pub(crate) fn drain(&mut self) {
        if self.is_open() && self.drain == Draining::No {
            self.drain = Draining::Due;
        }
    }

    /// Whether something new may begin.
    pub(crate) fn takes_new(&self) -> bool {
        self.is_open() && self.drain == Draining::No
    }

    /// Whether a drain frame is to go once nothing waits that is new.
    pub(crate) fn is_drain_due(&self) -> bool {
        self.drain == Draining::Due
    }

    /// Whether neither side begins something new, and each has heard so of the other.
    pub(crate) fn is_drained(&self) -> bool {
        self.drain == Draining::Said && self.peer_drains
    }

    pub(crate) fn peer_drains(&self) -> bool {
        self.peer_drains
    }

    /// The peer's drain frame, which is answered. Whether it is news.
    fn on_drain(&mut self) -> bool {
        self.drain();
        !std::mem::replace(&mut self.peer_drains, true)
    }

    /// The drain frame, if it is due and fits.
    pub(crate) fn put_drain(&mut self, record: &Unsealed, out: &mut Output) {
        if self.is_drain_due() && self.room(record, out) >= Drain::BOUND {
            Drain::encode(&mut out.small);
            self.drain = Draining::Said;
        }
    }

    /// A close frame is to follow what waits.
    pub(crate) fn close_with(&mut self, reason: CloseReason, detail: &str) {
        if self.is_open() {
            self.closing(reason, detail.to_owned());
        }
    }

    fn closing(&mut self, reason: CloseReason, mut detail: String) {
        truncate(&mut detail, Close::DETAIL_MAX);
        self.phase = Phase::Closing { reason, detail };
    }

    /// The session failed: all that still leaves is a close frame that says why.
    pub(crate) fn break_off(&mut self, error: &SessionError) {
        self.failed = true;
        if !self.is_sealed_off() {
            self.closing(CloseReason::Violation, error.to_string());
        }
    }

    /// The peer's close frame, which is answered. What its text says.
    fn on_close(&mut self, close: Close, detail: &[u8]) -> String {
        self.peer_received = Some(close.received);
        self.close_with(CloseReason::Answer, "");
        let read = &detail[..detail.len().min(FailureFrame::DETAIL_MAX)];
        String::from_utf8_lossy(read).into_owned()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<(), SessionError> {
        if self.failed {
            return Err(SessionError::Ended);
        }
        self.records.rest();
        self.timers.handle(now)
    }

    /// Begins a record.
    pub(crate) fn begin(&self, out: &mut Output) -> Unsealed {
        Records::begin(out)
    }

    /// Ends a record; an empty one was none.
    pub(crate) fn seal(&mut self, now: Instant, record: &Unsealed, out: &mut Output) -> bool {
        let sealed = self.records.seal(record, out);
        if sealed {
            self.timers.sealed(now);
        }
        sealed
    }

    /// How much the record has room for.
    pub(crate) fn room(&self, record: &Unsealed, out: &Output) -> usize {
        self.body_max - record.len(out)
    }

    /// A ping, if one is due and the record has nothing else.
    pub(crate) fn put_ping(&self, record: &Unsealed, out: &mut Output) {
        if self.timers.ping && record.len(out) == 0 {
            Ping::encode(&mut out.small);
        }
    }

    /// The close frame, if one is to go and fits. Whether it went.
    pub(crate) fn put_close(&mut self, received: u64, record: &Unsealed, out: &mut Output) -> bool {
        let Phase::Closing { reason, detail } = &self.phase else {
            return false;
        };
        if self.room(record, out) < Close::DETAIL_MAX + 64 {
            return false;
        }
        let reason = *reason;
        Close { reason, received }.encode(detail, &mut out.small);
        self.phase = Phase::Closed;
        true
    }
}

/// Cuts a text to at most `max` bytes.
pub(crate) fn truncate(text: &mut String, max: usize) {
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max));
    }
}
