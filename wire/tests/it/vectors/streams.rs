//! The bulk lane's frames.

use std::time::Duration;

use botzilla_wire::{
    code::EndCode,
    encoding::Encoding,
    frame::{Ended, Grant, ItemFrame, SubscribeFrame, Subscribed, Unsubscribe},
    stream::{Granted, Mode, Subscribe},
};

use super::frame;
use crate::{golden::Vectors, pair::name};

pub(super) fn subscribe(id: u32) -> SubscribeFrame {
    let subscribe = Subscribe {
        component: name("lidar"),
        stream: name("scan"),
        subscriber: Some(name("planner")),
        encoding: Encoding::Bincode,
        fingerprint: Some(*b"\x01\x23\x45\x67\x89\xab\xcd\xef"),
        mode: Mode::Reliable,
        depth: 16,
        keep_last: 1,
        interval: Duration::from_millis(200),
        items: 16,
        bytes: 16 << 20,
        resumes: None,
    };
    SubscribeFrame { id, subscribe }
}

pub(super) fn granted() -> Granted {
    Granted {
        incarnation: 0x0123_4567_89ab_cdef,
        next: 41,
        encoding: Encoding::Bincode,
        fingerprint: Some(*b"\x01\x23\x45\x67\x89\xab\xcd\xef"),
        mode: Mode::Reliable,
        cuts_off: true,
        depth: 16,
        keep_last: 1,
        interval: Duration::from_millis(200),
    }
}

/// The bulk lane's frames.
pub(super) fn stream_frames(out: &mut Vectors) {
    frame(
        out,
        "subscribe 0: component lidar, stream scan, reliable, bincode, depth 16, one past item, at \
        least 200,000 us between two, 16 items and 16 MiB may be sent, fingerprint \
        0123456789abcdef, subscriber planner",
        |out| subscribe(0).encode(out),
    );
    frame(
        out,
        "subscribe 300: component lidar, stream scan, latest, JSON, depth 1, all items, one item \
        and 4096 bytes may be sent",
        |out| {
            let mut frame = subscribe(300);
            frame.subscribe = Subscribe {
                subscriber: None,
                encoding: Encoding::Json,
                fingerprint: None,
                mode: Mode::Latest,
                depth: 1,
                keep_last: 0,
                interval: Duration::ZERO,
                items: 1,
                bytes: 4096,
                ..frame.subscribe
            };
            frame.encode(out);
        },
    );
    frame(
        out,
        "subscribe 1: the first one again, which goes on in incarnation 0x0123456789abcdef with item 300",
        |out| {
            let mut frame = subscribe(1);
            frame.subscribe.resumes = Some((0x0123_4567_89ab_cdef, 300));
            frame.encode(out);
        },
    );
    frame(
        out,
        "subscribed 0: reliable, cuts off, incarnation 0x0123456789abcdef, item 41 is next, bincode, \
        depth 16, one past item, at least 200,000 us between two, fingerprint 0123456789abcdef",
        |out| {
            let granted = granted();
            Subscribed { id: 0, granted }.encode(out);
        },
    );
    frame(
        out,
        "subscribed 300: latest, incarnation 7, item 0 is next, JSON, depth 1, no past item, all items",
        |out| {
            let granted = Granted {
                incarnation: 7,
                next: 0,
                encoding: Encoding::Json,
                fingerprint: None,
                mode: Mode::Latest,
                cuts_off: false,
                depth: 1,
                keep_last: 0,
                interval: Duration::ZERO,
            };
            Subscribed { id: 300, granted }.encode(out);
        },
    );
    let item = |id, seq, missed, thinned, age| {
        let age = Duration::from_micros(age);
        ItemFrame {
            id,
            seq,
            missed,
            thinned,
            age,
        }
    };
    frame(
        out,
        "item 41 on 0, none left out, 250 us old, 3 bytes",
        |out| {
            item(0, 41, 0, 0, 250).encode(3, out);
            out.extend_from_slice(&[1, 2, 3]);
        },
    );
    frame(
        out,
        "item 2^32 on 300, 1 missed, 70000 thinned out, 2 s old, nothing in it",
        |out| item(300, 1 << 32, 1, 70_000, 2_000_000).encode(0, out),
    );
    frame(out, "grant on 0: 20 items, 20 MiB", |out| {
        let (items, bytes) = (20, 20 << 20);
        Grant {
            id: 0,
            items,
            bytes,
        }
        .encode(out);
    });
    for code in EndCode::ALL {
        frame(
            out,
            &format!("ended 0: {code}, none left out, detail \"why\""),
            |out| {
                let (missed, thinned) = (0, 0);
                Ended {
                    id: 0,
                    code,
                    missed,
                    thinned,
                }
                .encode(3, out);
                out.extend_from_slice(b"why");
            },
        );
    }
    frame(
        out,
        "ended 300: code 300 of a later version, 2 missed, 3 thinned out, no detail",
        |out| {
            let code = EndCode::Unknown(300);
            Ended {
                id: 300,
                code,
                missed: 2,
                thinned: 3,
            }
            .encode(0, out);
        },
    );
    frame(out, "unsubscribe 0", |out| {
        Unsubscribe { id: 0 }.encode(out);
    });
}
