//! Many subscribers of one publisher in another process, and many subscriptions one after the other.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use botzilla::{Node, StreamReason, Subscription};
use botzilla_registry::RunningRegistry;

use crate::{
    child::Child,
    streams_between::Image,
    streams_parts::{Begin, Cycle, Emit, Left, WhatIsLeft, begin, emit, until_heard},
    world::{PATIENCE, SOON, found, node, registry, run, until},
};

const READERS: usize = 63;
const ITEMS: u64 = 200;
const DEPTH: u32 = 4;

/// A publisher in a process of its own, a subscriber that doesn't read, and 63 that do.
struct Crowd {
    registry: RunningRegistry,
    child: Child,
    here: Node,
    slow: Subscription<Image>,
    /// How many items each of them has.
    got: Vec<Rc<Cell<u64>>>,
    readers: Vec<actix_rt::task::JoinHandle<()>>,
}

async fn open(here: &Node) -> Subscription<Image> {
    let images = here.subscribe::<Image>("log/lines").reliable();
    images.depth(DEPTH).await.unwrap()
}

impl Crowd {
    async fn start(cut_off_ms: Option<u64>) -> Self {
        let registry = registry().await;
        let child = Child::start(registry.address(), &["feed:log"]).await;
        let here = node(registry.address()).await;
        let stream = Begin {
            cut_off_ms,
            ..Begin::waiting("lines", DEPTH)
        };
        begin(&here, "log", stream).await;
        let slow = open(&here).await;
        let (mut got, mut readers) = (Vec::new(), Vec::new());
        for _ in 0..READERS {
            let mut images = open(&here).await;
            let count = Rc::new(Cell::new(0));
            got.push(Rc::clone(&count));
            readers.push(actix_rt::spawn(async move {
                for n in 0..ITEMS {
                    let item = images.next().await.unwrap().unwrap();
                    assert_eq!((item.n, item.seq(), item.missed()), (n, n, 0));
                    count.set(n + 1);
                }
            }));
        }
        until_heard(&here, "log", "lines", READERS as u64 + 1).await;
        Self {
            registry,
            child,
            here,
            slow,
            got,
            readers,
        }
    }

    async fn end(self) {
        self.here.shutdown(SOON).await;
        self.child.stop().await;
        self.registry.shutdown(SOON).await;
    }
}

fn lines(count: u64) -> Emit {
    Emit::paced("lines", 100, (1, count), 0)
}

#[test]
fn sixty_three_subscribers_elsewhere_go_at_the_pace_of_one_that_is_waited_for() {
    run(async {
        let mut crowd = Crowd::start(None).await;
        let Crowd {
            here, slow, got, ..
        } = &mut crowd;
        let read = async {
            // What has room waits for the slow one here, and as much at its publisher.
            let room = 2 * u64::from(DEPTH);
            for n in 0..ITEMS {
                // All others get what they can, before it takes one.
                let all = ITEMS.min(n + room);
                until(|| got.iter().all(|count| count.get() >= all)).await;
                let most = got.iter().map(|count| count.get()).max().unwrap();
                assert!(most <= n + room, "{most} went on while it had {n}");
                let item = slow.next().await.unwrap().unwrap();
                assert_eq!((item.n, item.seq(), item.missed()), (n, n, 0));
            }
        };
        let (emitted, ()) = tokio::join!(emit(here, "log", lines(ITEMS)), read);
        assert_eq!((emitted.published, emitted.subscribers), (ITEMS, 64));
        for reader in crowd.readers.drain(..) {
            reader.await.unwrap();
        }
        crowd.end().await;
    });
}

#[test]
fn sixty_three_subscribers_elsewhere_get_all_when_a_slow_one_is_cut_off_and_it_is_told() {
    run(async {
        // Long enough for those that do read, however busy this machine is.
        let after = Duration::from_secs(2);
        let began = Instant::now();
        let mut crowd = Crowd::start(Some(2000)).await;
        let emitted = emit(&crowd.here, "log", lines(ITEMS)).await;
        assert!(began.elapsed() >= after, "it is waited for at first");
        assert_eq!((emitted.published, emitted.subscribers), (ITEMS, 63));
        for reader in crowd.readers.drain(..) {
            reader.await.unwrap();
        }
        let Crowd { here, slow, .. } = &mut crowd;
        let mut came = 0;
        let error = loop {
            match slow.next().await.unwrap() {
                Ok(item) => {
                    assert_eq!((item.n, item.seq(), item.missed()), (came, came, 0));
                    came += 1;
                }
                Err(error) => break error,
            }
        };
        let &StreamReason::CutOff { missed, .. } = error.reason() else {
            panic!("{error}");
        };
        // It had as much as it gave room for; what waited at the publisher was dropped and counted.
        assert_eq!((came, error.stream()), (u64::from(DEPTH), "log/lines"));
        assert!(missed > 0, "{error}");
        // It is back by itself, the readers are done, and all that it didn't get is told.
        until_heard(here, "log", "lines", 1).await;
        emit(here, "log", lines(1)).await;
        let back = slow.next().await.unwrap().unwrap();
        assert_eq!((back.n, back.restarted()), (ITEMS, false));
        assert_eq!(came + missed + back.missed(), ITEMS);
        crowd.end().await;
    });
}

/// What a process holds.
#[derive(Debug, PartialEq, Eq)]
struct Level {
    descriptors: usize,
    threads: usize,
    left: Left,
}

/// No subscription is left, and the connection is kept for the next.
const NOTHING: Left = Left {
    subscriptions: 0,
    finders: 0,
    connections: 1,
};

async fn level(here: &Node, child: &Child, part: &str) -> Level {
    let part = here.component(part);
    Level {
        descriptors: child.descriptors(),
        threads: child.threads(),
        left: part.ask(WhatIsLeft {}).await.unwrap(),
    }
}

/// Waits until it has nothing left of streams, and of all else what is given.
async fn until_level(here: &Node, child: &Child, part: &str, before: Option<&Level>) -> Level {
    let began = Instant::now();
    loop {
        let now = level(here, child, part).await;
        if now.left == NOTHING && before.is_none_or(|before| now == *before) {
            return now;
        }
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{now:?} was {before:?}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn subscribing_over_and_over_costs_neither_process_anything_that_stays() {
    run(async {
        let registry = registry().await;
        // More entries of a connection than these, on either side, would be refused.
        let subscriptions = 4;
        let address = registry.address();
        let from = Child::start_with(address, &["feed:cam", "taker:beside"], subscriptions).await;
        let to = Child::start_with(address, &["taker"], subscriptions).await;
        let here = node(address).await;
        begin(&here, "cam", Begin::waiting("image", 4)).await;
        for part in ["beside", "taker"] {
            found(&here, part).await;
        }
        // Were one item of each cycle left, it would be more than is allowed for all.
        let images = Emit::paced("image", 200_000, (1_000_000, 1), 2_000);
        let feed = here.component("cam");
        let endless = actix_rt::spawn(async move {
            let _ = feed.ask(images).within(PATIENCE).await;
        });
        let cycle = async |times| {
            let stream = "cam/image".to_owned();
            let taker = here.component("taker");
            let cycled = taker.ask(Cycle { stream, times }).within(PATIENCE);
            cycled.await.unwrap();
            until_heard(&here, "cam", "image", 0).await;
        };
        // What is made once is made.
        cycle(20).await;
        let mut before = Vec::new();
        for (child, part) in [(&from, "beside"), (&to, "taker")] {
            let level = until_level(&here, child, part, None).await;
            before.push((level, child.memory().now));
        }
        cycle(100).await;
        for ((child, part), (before, memory)) in
            [(&from, "beside"), (&to, "taker")].into_iter().zip(before)
        {
            until_level(&here, child, part, Some(&before)).await;
            child.until_within(memory + 8 * 1024).await;
        }
        endless.abort();
        here.shutdown(SOON).await;
        drop((from, to));
        registry.shutdown(SOON).await;
    });
}
