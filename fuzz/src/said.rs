//! What a peer may say, right or wrong, and that what is read is what was written.

use std::time::Duration;

use arbitrary::Arbitrary;
use botzilla_wire::{
    Encoding, Kind,
    code::{CloseReason, Code, EndCode},
    error::SessionError,
    frame::{
        Abort, Cancel, Chunk, Close, Credit, Done, Drain, Ended, FailureFrame, Frame, Grant,
        ItemFrame, Message, Ping, Raw, Reply, RouteFrame, SubscribeFrame, Subscribed, Unsubscribe,
        kind,
    },
    stream::{Granted, Mode, Subscribe},
};

use crate::pair::{name, route};

/// A payload, and what of it is there.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(crate) enum Payload {
    Whole(u8),
    /// More is announced than comes.
    Cut {
        announced: u32,
        here: u8,
    },
    Long {
        announced: u16,
        here: u16,
    },
}

impl Payload {
    fn announced(self) -> usize {
        match self {
            Self::Whole(len) => len.into(),
            Self::Cut { announced, .. } => announced as usize,
            Self::Long { announced, .. } => usize::from(announced) * 64,
        }
    }

    fn put(self, out: &mut Vec<u8>) {
        let here = match self {
            Self::Whole(here) | Self::Cut { here, .. } => here.into(),
            Self::Long { here, .. } => usize::from(here),
        };
        out.resize(out.len() + here, 7);
    }
}

/// A frame of the control lane.
#[derive(Debug, Clone, Arbitrary)]
pub(crate) enum Control {
    Route {
        number: u8,
        window: u8,
        to: u8,
        urgent: bool,
    },
    /// With the id that is next, if it isn't `skewed`.
    Message {
        ask: bool,
        route: u8,
        skewed: u8,
        time_left_us: u32,
        path: u8,
        payload: Payload,
    },
    Reply {
        id: u8,
        payload: Payload,
    },
    Failure {
        id: u8,
        code: u16,
        may_have_run: bool,
        detail: Payload,
    },
    Done(Vec<(u8, u8)>),
    Credit {
        messages: u64,
        bytes: u64,
        windows: Vec<(u8, u16)>,
    },
    /// A little more than last time.
    MoreCredit {
        messages: u8,
        bytes: u16,
    },
    Cancel(u8),
    Common(Common),
}

/// A frame of the bulk lane.
#[derive(Debug, Clone, Arbitrary)]
pub(crate) enum Bulk {
    /// With the id that is next, if it isn't `skewed`.
    Subscribe {
        skewed: u8,
        reliable: bool,
        depth: u16,
        items: u16,
        bytes: u32,
        interval_us: u32,
        none: bool,
    },
    Subscribed {
        id: u8,
        next: u64,
        depth: u16,
        reliable: bool,
    },
    /// With the number that follows on the last one's, if it isn't `skewed`.
    Item {
        id: u8,
        skewed: u8,
        missed: u8,
        thinned: u8,
        payload: Payload,
    },
    HugeItem {
        id: u8,
        seq: u64,
        missed: u64,
        thinned: u64,
    },
    Grant {
        id: u8,
        items: u64,
        bytes: u64,
    },
    MoreGrant {
        id: u8,
        items: u8,
        bytes: u16,
    },
    Ended {
        id: u8,
        code: u16,
        missed: u64,
        thinned: u8,
        detail: Payload,
    },
    Unsubscribe(u8),
    Common(Common),
}

/// What both lanes have, and what is no frame at all.
#[derive(Debug, Clone, Arbitrary)]
pub(crate) enum Common {
    Chunk(u16),
    Abort,
    Close {
        reason: u16,
        received: u8,
    },
    Ping,
    /// A header of any kind with any fields.
    Header {
        kind: u8,
        fields: Vec<u8>,
        payload: Payload,
    },
    Bytes(Vec<u8>),
}

/// What who says it has to remember.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// The id that comes next.
    pub(crate) next: u64,
    credit: (u64, u64),
    seqs: std::collections::BTreeMap<u8, u64>,
}

impl Control {
    pub(crate) fn put(self, memory: &mut Memory, out: &mut Vec<u8>) {
        match self {
            Self::Route {
                number,
                window,
                to,
                urgent,
            } => RouteFrame {
                number: number.into(),
                window: window.into(),
                route: route(to, urgent),
            }
            .encode(out),
            Self::Message {
                ask,
                route,
                skewed,
                time_left_us,
                path,
                payload,
            } => {
                memory.next += 1;
                let path = vec![name("asker"); usize::from(path % 20)];
                let message = Message {
                    kind: if ask { Kind::Ask } else { Kind::Tell },
                    route: route.into(),
                    id: (memory.next as u32).wrapping_add(skewed.saturating_sub(250).into()),
                    time_left: Duration::from_micros(time_left_us.into()),
                    path_len: Message::path_len(&path),
                    path,
                };
                message.encode(payload.announced(), out);
                payload.put(out);
            }
            Self::Reply { id, payload } => {
                Reply { id: id.into() }.encode(payload.announced(), out);
                payload.put(out);
            }
            Self::Failure {
                id,
                code,
                may_have_run,
                detail,
            } => {
                let failure = FailureFrame {
                    id: id.into(),
                    code: Code::from_number(code),
                    may_have_run,
                };
                failure.encode(detail.announced(), out);
                detail.put(out);
            }
            Self::Done(ranges) => {
                let ranges = ranges
                    .iter()
                    .map(|&(first, count)| (first.into(), count.into()));
                Done::encode(&ranges.collect::<Vec<_>>(), out);
            }
            Self::Credit {
                messages,
                bytes,
                windows,
            } => {
                let windows = windows
                    .iter()
                    .map(|&(window, total)| (window.into(), total.into()));
                Credit { messages, bytes }.encode(&windows.collect::<Vec<_>>(), out);
            }
            Self::MoreCredit { messages, bytes } => {
                memory.credit.0 += u64::from(messages);
                memory.credit.1 += u64::from(bytes);
                let credit = Credit {
                    messages: 4096 + memory.credit.0,
                    bytes: (32 << 20) + memory.credit.1,
                };
                credit.encode(&[(0, 256 + memory.credit.0)], out);
            }
            Self::Cancel(id) => Cancel { id: id.into() }.encode(out),
            Self::Common(common) => common.put(out),
        }
    }
}

impl Bulk {
    pub(crate) fn put(self, memory: &mut Memory, out: &mut Vec<u8>) {
        match self {
            Self::Subscribe {
                skewed,
                reliable,
                depth,
                items,
                bytes,
                interval_us,
                none,
            } => {
                let id = (memory.next as u32).wrapping_add(skewed.saturating_sub(250).into());
                memory.next += 1;
                let subscribe = Subscribe {
                    component: name("lidar"),
                    stream: name(if none { "none" } else { "scan" }),
                    subscriber: reliable.then(|| name("map")),
                    encoding: Encoding::Bincode,
                    fingerprint: none.then_some([3; 8]),
                    mode: mode(reliable),
                    depth: depth.into(),
                    keep_last: 0,
                    interval: Duration::from_micros(interval_us.into()),
                    resumes: (interval_us > 1 << 31).then_some((1, items.into())),
                    items: items.into(),
                    bytes: bytes.into(),
                };
                SubscribeFrame { id, subscribe }.encode(out);
            }
            Self::Subscribed {
                id,
                next,
                depth,
                reliable,
            } => {
                let granted = Granted {
                    incarnation: 1,
                    next,
                    encoding: Encoding::Bincode,
                    fingerprint: None,
                    mode: mode(reliable),
                    cuts_off: !reliable,
                    depth: depth.into(),
                    keep_last: 0,
                    interval: Duration::ZERO,
                };
                memory.seqs.insert(id, next);
                Subscribed {
                    id: id.into(),
                    granted,
                }
                .encode(out);
            }
            Self::Item {
                id,
                skewed,
                missed,
                thinned,
                payload,
            } => {
                let (missed, thinned) = (u64::from(missed % 4), u64::from(thinned % 4));
                let next = memory.seqs.entry(id).or_default();
                let seq =
                    next.wrapping_add(missed + thinned + u64::from(skewed.saturating_sub(250)));
                *next = seq.wrapping_add(1);
                item(id, seq, missed, thinned).encode(payload.announced(), out);
                payload.put(out);
            }
            Self::HugeItem {
                id,
                seq,
                missed,
                thinned,
            } => item(id, seq, missed, thinned).encode(0, out),
            Self::Grant { id, items, bytes } => {
                let id = id.into();
                Grant { id, items, bytes }.encode(out);
            }
            Self::MoreGrant { id, items, bytes } => {
                memory.credit.0 += u64::from(items);
                memory.credit.1 += u64::from(bytes);
                let grant = Grant {
                    id: id.into(),
                    items: (1 << 16) + memory.credit.0,
                    bytes: (1 << 32) + memory.credit.1,
                };
                grant.encode(out);
            }
            Self::Ended {
                id,
                code,
                missed,
                thinned,
                detail,
            } => {
                let ended = Ended {
                    id: id.into(),
                    code: EndCode::from_number(code),
                    missed,
                    thinned: thinned.into(),
                };
                ended.encode(detail.announced(), out);
                detail.put(out);
            }
            Self::Unsubscribe(id) => Unsubscribe { id: id.into() }.encode(out),
            Self::Common(common) => common.put(out),
        }
    }
}

impl Common {
    fn put(self, out: &mut Vec<u8>) {
        match self {
            Self::Chunk(len) => {
                Chunk::encode(len.into(), out);
                Payload::Long {
                    announced: 0,
                    here: len,
                }
                .put(out);
            }
            Self::Abort => Abort::encode(out),
            Self::Close { reason, .. } if reason >= 0x8000 => Drain::encode(out),
            Self::Close { reason, received } => {
                let close = Close {
                    reason: CloseReason::from_number(reason),
                    received: received.into(),
                };
                close.encode("bye", out);
            }
            Self::Ping => Ping::encode(out),
            Self::Header {
                kind,
                fields,
                payload,
            } => {
                let mut header = vec![kind];
                botzilla_wire::coding::put_varint(&mut header, payload.announced() as u64);
                header.extend(fields);
                botzilla_wire::coding::put_bytes(out, &header);
                payload.put(out);
            }
            Self::Bytes(bytes) => out.extend(bytes),
        }
    }
}

fn mode(reliable: bool) -> Mode {
    if reliable {
        Mode::Reliable
    } else {
        Mode::Latest
    }
}

fn item(id: u8, seq: u64, missed: u64, thinned: u64) -> ItemFrame {
    ItemFrame {
        id: id.into(),
        seq,
        missed,
        thinned,
        age: Duration::ZERO,
    }
}

/// Reads all frames of a record's body, and checks that each reads the same once it is written again.
pub(crate) fn read_again(mut body: &[u8]) {
    while let Ok(raw) = Raw::split(body) {
        assert!(raw.head <= body.len() && raw.head > 0);
        let len = usize::try_from(raw.payload_len).unwrap_or(usize::MAX);
        match raw.kind {
            kind::ROUTE => again(&raw, |it: &RouteFrame, out| it.encode(out)),
            kind::ASK | kind::TELL => again(&raw, |it: &Message, out| it.encode(len, out)),
            kind::REPLY => again(&raw, |it: &Reply, out| it.encode(len, out)),
            kind::FAILURE => again(&raw, |it: &FailureFrame, out| it.encode(len, out)),
            kind::CREDIT => {
                // Its windows are its payload.
                let _: Result<Credit, SessionError> = raw.read();
            }
            kind::CANCEL => again(&raw, |it: &Cancel, out| it.encode(out)),
            kind::SUBSCRIBE => again(&raw, |it: &SubscribeFrame, out| it.encode(out)),
            kind::SUBSCRIBED => again(&raw, |it: &Subscribed, out| it.encode(out)),
            kind::ITEM => again(&raw, |it: &ItemFrame, out| it.encode(len, out)),
            kind::GRANT => again(&raw, |it: &Grant, out| it.encode(out)),
            kind::ENDED => again(&raw, |it: &Ended, out| it.encode(len, out)),
            kind::UNSUBSCRIBE => again(&raw, |it: &Unsubscribe, out| it.encode(out)),
            _ => {}
        }
        let payload = len.min(body.len() - raw.head);
        body = &body[raw.head + payload..];
    }
}

fn again<'a, F>(raw: &Raw<'a>, encode: impl Fn(&F, &mut Vec<u8>))
where
    F: for<'b> Frame<'b> + PartialEq + std::fmt::Debug,
{
    let Ok(frame) = raw.read::<F>() else { return };
    let mut out = Vec::new();
    encode(&frame, &mut out);
    let back = Raw::split(&out).unwrap();
    assert_eq!(back.kind, raw.kind);
    assert_eq!(back.read::<F>().as_ref(), Ok(&frame));
}
