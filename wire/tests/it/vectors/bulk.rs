//! A whole bulk session, record by record.

use std::time::{Duration, Instant};

use botzilla_wire::{
    code::{CloseReason, EndCode},
    ident::Lane,
    limits::Limits,
    stream::{End, Event, Granted, Mode, Outgoing, Subscribe, SubscriberId},
};
use bytes::Bytes;

use super::{
    streams::{granted, subscribe},
    tape::Tape,
};
use crate::{
    pair::{SECOND, bytes_of, handshake_messages},
    streams::{Bulk, BulkPair},
};

struct Recorder {
    pair: BulkPair,
    tape: Tape,
}

impl Recorder {
    /// The dialler subscribes, the acceptor publishes.
    fn ends(&mut self) -> [&mut Bulk; 2] {
        [&mut self.pair.subscriber, &mut self.pair.publisher]
    }

    fn carry(&mut self, from: usize, about: &str) {
        let now = self.pair.now;
        let bytes = self.ends()[from].transmit(now);
        self.tape.write(from, about, &bytes);
        self.ends()[1 - from].receive(now, &bytes).unwrap();
    }

    fn push(&mut self, id: SubscriberId, seq: u64, thinned: u64, payload: Bytes) {
        let published = self.pair.now;
        let item = Outgoing {
            seq,
            thinned,
            published,
            payload,
        };
        self.pair.publisher.session.push(id, item).unwrap();
    }

    fn asked(&mut self) -> SubscriberId {
        match self.pair.publisher.take_events().pop() {
            Some(Event::Subscribe { id, .. }) => id,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_bulk_session_is_as_recorded() {
    let limits = Limits::default();
    let messages = handshake_messages(Lane::Bulk, &limits, &limits, Instant::now());
    let about = "A session on the bulk lane, from its keys on, record by record in the order in which they\n\
        were sent. All limits are the defaults.";
    let mut s = Recorder {
        pair: BulkPair::new(),
        tape: Tape::new(about, &messages),
    };
    let (dialler, acceptor) = (0, 1);

    let asked = Subscribe {
        items: 4,
        bytes: 1 << 20,
        ..subscribe(0).subscribe
    };
    let scan = s.pair.subscriber.session.subscribe(asked).unwrap();
    s.carry(
        dialler,
        "subscribes to lidar's scan (0): reliable, 4 items and 1 MiB may be sent",
    );
    let to_planner = s.asked();
    s.pair
        .publisher
        .session
        .accept(to_planner, granted())
        .unwrap();
    s.push(to_planner, 41, 0, Bytes::from_static(&[0xca, 0xfe]));
    s.pair.now += Duration::from_micros(250);
    s.carry(
        acceptor,
        "grants it, item 41 is next; and item 41 (250 us old, ca fe)",
    );
    s.pair.subscriber.session.consumed(scan, 1, 2);
    s.carry(dialler, "states credit: one of four items was consumed");

    s.push(to_planner, 44, 2, Bytes::from_static(&[0xbe]));
    s.push(to_planner, 46, 0, Bytes::from_static(&[0xef]));
    s.carry(
        acceptor,
        "item 44, 42 and 43 were thinned out; item 46, 45 was missed",
    );

    let asked = Subscribe {
        component: crate::pair::name("camera"),
        stream: crate::pair::name("image"),
        subscriber: None,
        fingerprint: None,
        mode: Mode::Latest,
        depth: 1,
        keep_last: 0,
        interval: Duration::ZERO,
        items: 2,
        bytes: 1,
        ..subscribe(0).subscribe
    };
    let image = s.pair.subscriber.session.subscribe(asked).unwrap();
    s.carry(
        dialler,
        "subscribes to camera's image (1): latest, 2 items and 1 byte may be sent",
    );
    let images = s.asked();
    let granted = Granted {
        next: 0,
        mode: Mode::Latest,
        cuts_off: false,
        depth: 1,
        keep_last: 0,
        interval: Duration::ZERO,
        ..granted()
    };
    s.pair.publisher.session.accept(images, granted).unwrap();
    s.push(images, 0, 0, bytes_of(600_000));
    s.carry(
        acceptor,
        "grants it; and item 0, 600,000 bytes: more than the one byte, for one was left",
    );
    for seq in 1..4 {
        s.push(images, seq, 0, bytes_of(3));
    }
    s.pair.subscriber.session.consumed(image, 1, 600_000);
    s.carry(dialler, "states credit for 1: 3 items and 600,001 bytes");
    s.carry(acceptor, "item 3; 1 and 2 were dropped, the depth is 1");

    s.pair.now += SECOND;
    s.pair.publisher.session.handle_timeout(s.pair.now).unwrap();
    s.carry(acceptor, "pings after a second of silence");

    s.pair.subscriber.session.consumed(image, 1, 3);
    s.carry(dialler, "states credit for 1");
    s.push(images, 4, 0, bytes_of(600_000));
    let bytes = s.pair.publisher.transmit_once(s.pair.now).unwrap();
    s.tape
        .write(acceptor, "begins with item 4, 600,000 bytes", &bytes);
    s.pair.subscriber.receive(s.pair.now, &bytes).unwrap();
    s.pair.subscriber.session.unsubscribe(image);
    s.carry(dialler, "no longer wants 1");
    s.carry(acceptor, "aborts item 4 half-way, and ends 1");

    let gone = End {
        code: EndCode::PublisherGone,
        detail: "lidar restarts".to_owned(),
        next: 48,
        thinned: 0,
        flush: true,
    };
    s.pair.publisher.session.end(to_planner, gone);
    s.carry(acceptor, "ends 0: the publisher is gone, 47 was missed");
    s.pair.subscriber.session.close(CloseReason::Idle);
    s.carry(dialler, "closes: it was idle");
    s.carry(acceptor, "answers the close");
    assert!(s.pair.publisher.session.is_closed() && s.pair.subscriber.session.is_closed());
    s.tape.check("bulk.txt");
}
