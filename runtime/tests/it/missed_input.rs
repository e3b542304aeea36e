//! `expect_every` and `missed`: what a component does when input goes silent.
//!
//! Nothing here waits for a time to pass. Where something must not happen, another input that goes
//! silent again and again says how long it hasn't.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use botzilla::{Ctx, Node, NodeConfig, Qos, Reason};
use tokio::sync::{Notify, mpsc};

use crate::{
    child::Child,
    streams::{Tick, publish, tick},
    world::{SOON, found, node, registry, run, two, until},
};

#[derive(Debug, PartialEq, Eq)]
enum Saw {
    Started,
    Stopped,
    Command,
    Item(u64),
    Missed(&'static str),
    /// The clock went silent so often since it began.
    Round(u64),
    Other(u64),
}

#[botzilla::message]
struct Command {
    /// Whether it holds the thread until the test lets go of it.
    freeze: bool,
}

const COMMAND: Command = Command { freeze: false };

/// The number of an item that does the same.
const FREEZE: u64 = 99;

#[botzilla::message]
struct Heartbeat {}

/// Sets the clock going, for so many rounds.
#[botzilla::message]
struct Rounds {
    rounds: u64,
}

#[botzilla::message]
#[derive(Debug)]
struct Wind {}

#[botzilla::message]
struct Hold {}

#[botzilla::message]
struct HoldUrgently {}

#[botzilla::message]
struct Other {
    n: u64,
}

/// A drive with all that can go silent.
struct Drive {
    saw: mpsc::UnboundedSender<Saw>,
    held: Arc<Notify>,
    go_on: Arc<Notify>,
    frozen: Arc<parking_lot::Mutex<()>>,
    rounds: u64,
    left: u64,
    panics: Arc<AtomicU64>,
}

#[botzilla::component]
impl Drive {
    #[botzilla::on_start]
    fn start(&mut self) {
        self.saw(Saw::Started);
    }

    #[botzilla::on_stop]
    fn stop(&mut self) {
        self.saw(Saw::Stopped);
    }

    #[botzilla::handler(expect_every = "20ms", missed = no_command)]
    fn command(&mut self, msg: Command) {
        self.saw(Saw::Command);
        if msg.freeze {
            self.freeze();
        }
    }

    fn no_command(&mut self) {
        self.saw(Saw::Missed("command"));
        let panics = self
            .panics
            .fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        assert!(panics.is_err(), "as the test wants");
    }

    // Without `self`: a sign of life needs no state, what is done without it does.
    #[botzilla::handler(expect_every = "20ms", missed = no_heartbeat)]
    async fn heartbeat(_: Heartbeat) {}

    fn no_heartbeat(&mut self, ctx: &Ctx<Self>) {
        assert_eq!(ctx.name(), "drive");
        self.saw(Saw::Missed("heartbeat"));
    }

    #[botzilla::handler(expect_every = "5ms", missed = round)]
    fn wind(&mut self, _: Wind) {}

    async fn round(&mut self, ctx: &Ctx<Self>) {
        tokio::task::yield_now().await;
        if self.left > 0 {
            self.left -= 1;
            self.rounds += 1;
            self.saw(Saw::Round(self.rounds));
            drop(ctx.component("drive").try_tell(Wind {}).unwrap());
        }
    }

    #[botzilla::handler]
    fn rounds(&mut self, msg: Rounds, ctx: &Ctx<Self>) {
        (self.left, self.rounds) = (msg.rounds, 0);
        drop(ctx.component("drive").try_tell(Wind {}).unwrap());
    }

    #[botzilla::handler(
        stream = "*/tick",
        reliable,
        expect_every = "20ms",
        missed = no_tick
    )]
    fn on_tick(&mut self, tick: &Tick) {
        self.saw(Saw::Item(tick.n));
        if tick.n == FREEZE {
            self.freeze();
        }
    }

    async fn no_tick(&mut self) {
        tokio::task::yield_now().await;
        self.saw(Saw::Missed("tick"));
    }

    #[botzilla::handler]
    async fn hold(&mut self, _: Hold) {
        self.held.notify_one();
        std::future::pending::<()>().await;
    }

    #[botzilla::handler(urgent)]
    async fn hold_urgently(&mut self, _: HoldUrgently) {
        self.held.notify_one();
        self.go_on.notified().await;
    }

    #[botzilla::handler]
    fn other(&mut self, msg: Other) {
        self.saw(Saw::Other(msg.n));
    }
}

impl Drive {
    fn saw(&self, saw: Saw) {
        let _ = self.saw.send(saw);
    }

    fn freeze(&self) {
        self.held.notify_one();
        drop(self.frozen.lock());
    }
}

/// A drive, and what it saw.
struct Seen {
    saw: mpsc::UnboundedReceiver<Saw>,
    held: Arc<Notify>,
    go_on: Arc<Notify>,
    frozen: Arc<parking_lot::Mutex<()>>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the tests end before it could be long"
)]
async fn drive(node: &Node, panics: u64) -> Seen {
    let (saw, seen) = mpsc::unbounded_channel();
    let (held, go_on) = (Arc::<Notify>::default(), Arc::<Notify>::default());
    let frozen = Arc::default();
    let panics = Arc::new(AtomicU64::new(panics));
    let factory = {
        let (held, go_on) = (Arc::clone(&held), Arc::clone(&go_on));
        let frozen = Arc::clone(&frozen);
        move || Drive {
            saw: saw.clone(),
            held: Arc::clone(&held),
            go_on: Arc::clone(&go_on),
            frozen: Arc::clone(&frozen),
            rounds: 0,
            left: 0,
            panics: Arc::clone(&panics),
        }
    };
    node.spawn("drive", factory).own_thread().await.unwrap();
    Seen {
        saw: seen,
        held,
        go_on,
        frozen,
    }
}

impl Seen {
    async fn next(&mut self) -> Saw {
        self.saw.recv().await.unwrap()
    }

    /// Waits for something; what it saw before comes back.
    async fn until(&mut self, expected: &Saw) -> Vec<Saw> {
        let mut before = Vec::new();
        loop {
            let saw = self.next().await;
            if saw == *expected {
                return before;
            }
            before.push(saw);
        }
    }

    /// Waits until all that can go silent has.
    async fn until_silent(&mut self) {
        let mut missing = vec!["command", "heartbeat", "tick"];
        while !missing.is_empty() {
            if let Saw::Missed(what) = self.next().await {
                let count = missing.len();
                missing.retain(|other| *other != what);
                assert!(missing.len() < count, "{what} was missed twice");
            }
        }
    }

    /// What it saw while the clock went silent ten times, which takes five times as long as a
    /// silence may be.
    async fn in_ten_rounds(&mut self, node: &Node) -> Vec<Saw> {
        let drive = node.component("drive");
        drop(drive.tell(Rounds { rounds: 20 }).await.unwrap());
        let mut seen = self.until(&Saw::Round(20)).await;
        seen.retain(|saw| !matches!(saw, Saw::Round(_)));
        seen
    }
}

async fn alone() -> Node {
    Node::start(NodeConfig::in_process()).await.unwrap()
}

#[test]
fn a_silence_is_told_once_and_again_after_input_has_come_back() {
    run(async {
        let node = alone().await;
        let mut seen = drive(&node, 0).await;
        assert_eq!(seen.next().await, Saw::Started);
        seen.until_silent().await;
        assert_eq!(seen.in_ten_rounds(&node).await, []);
        let drive = node.component("drive");
        for _ in 0..3 {
            drive.ask(COMMAND).await.unwrap();
            assert_eq!(seen.next().await, Saw::Command);
            assert_eq!(seen.next().await, Saw::Missed("command"));
            // Whoever has a handler without state is expected as well.
            drop(drive.tell(Heartbeat {}).await.unwrap());
            assert_eq!(seen.next().await, Saw::Missed("heartbeat"));
        }
        assert_eq!(seen.in_ten_rounds(&node).await, []);
        node.shutdown(SOON).await;
    });
}

#[test]
fn who_sends_from_another_node_counts_and_what_cant_be_read_does_not() {
    run(async {
        let (registry, near, far) = two().await;
        let mut seen = drive(&near, 0).await;
        seen.until_silent().await;
        let drive = found(&far, "drive").await;
        drive.ask(COMMAND).await.unwrap();
        assert_eq!(seen.next().await, Saw::Command);
        assert_eq!(seen.next().await, Saw::Missed("command"));
        let unread = drive
            .ask_json("Command", &serde_json::json!({ "freez": false }), None)
            .await;
        let reason = unread.unwrap_err();
        assert!(
            matches!(reason.reason(), Reason::BadPayload(_)),
            "{reason:?}"
        );
        assert_eq!(seen.in_ten_rounds(&near).await, []);
        let read = serde_json::json!({ "freeze": false });
        drive.ask_json("Command", &read, None).await.unwrap();
        assert_eq!(seen.next().await, Saw::Command);
        assert_eq!(seen.next().await, Saw::Missed("command"));
        for node in [near, far] {
            node.shutdown(SOON).await;
        }
        registry.shutdown(SOON).await;
    });
}

#[test]
fn items_of_a_stream_count_from_here_and_from_elsewhere_and_a_publisher_that_died_is_silent() {
    run(async {
        let (registry, near, far) = two().await;
        let mut seen = drive(&near, 0).await;
        seen.until_silent().await;
        let (here, _here) = publish(&near, "here", "tick", Qos::reliable()).await;
        let (there, _there) = publish(&far, "there", "tick", Qos::reliable()).await;
        until(|| here.subscribers() == 1 && there.subscribers() == 1).await;
        // That there are publishers is no input.
        assert_eq!(seen.in_ten_rounds(&near).await, []);
        for (n, publisher) in [(1, &here), (2, &there), (3, &there)] {
            publisher.send(tick(n)).await.unwrap();
            assert_eq!(seen.next().await, Saw::Item(n));
            assert_eq!(seen.next().await, Saw::Missed("tick"));
        }
        here.send(tick(4)).await.unwrap();
        assert_eq!(seen.next().await, Saw::Item(4));
        let dying = far.shutdown(SOON);
        assert_eq!(seen.next().await, Saw::Missed("tick"));
        dying.await;
        // Nor is it one that a publisher went away.
        assert_eq!(seen.in_ten_rounds(&near).await, []);
        near.shutdown(SOON).await;
        registry.shutdown(SOON).await;
    });
}

#[test]
fn what_is_missed_interrupts_a_handler_that_waits_and_goes_before_what_is_queued() {
    run(async {
        let node = alone().await;
        let mut seen = drive(&node, 0).await;
        seen.until_silent().await;
        let drive = node.component("drive");
        drop(drive.tell(COMMAND).await.unwrap());
        let held = drive.tell(Hold {}).await.unwrap();
        seen.held.notified().await;
        for n in 0..3 {
            drop(drive.tell(Other { n }).await.unwrap());
        }
        let interrupted = held.await.unwrap_err();
        assert!(
            matches!(interrupted.reason(), Reason::Interrupted),
            "{interrupted:?}"
        );
        let before = seen.until(&Saw::Other(2)).await;
        let mut order = before.iter().filter(|saw| !matches!(saw, Saw::Round(_)));
        assert_eq!(order.next(), Some(&Saw::Command));
        assert_eq!(order.next(), Some(&Saw::Missed("command")));
        assert_eq!(order.next(), Some(&Saw::Other(0)));
        node.shutdown(SOON).await;
    });
}

/// Longer than the drive's input may be silent.
async fn a_silence() {
    let since = Instant::now();
    while since.elapsed() < Duration::from_millis(60) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[expect(
    clippy::await_holding_lock,
    reason = "the handler that stands still waits for this very lock, on a thread of its own"
)]
#[test]
fn a_silence_that_nobody_could_see_is_told_once_and_before_what_ends_it() {
    run(async {
        let node = alone().await;
        let mut seen = drive(&node, 0).await;
        seen.until_silent().await;
        let (publisher, _made) = publish(&node, "here", "tick", Qos::reliable()).await;
        until(|| publisher.subscribers() == 1).await;
        let drive = node.component("drive");
        let lock = Arc::clone(&seen.frozen);

        let frozen = lock.lock();
        drop(drive.tell(Command { freeze: true }).await.unwrap());
        seen.held.notified().await;
        a_silence().await;
        drop(drive.tell(COMMAND).await.unwrap());
        drop(frozen);
        for _ in 0..2 {
            assert_eq!(seen.next().await, Saw::Command);
            assert_eq!(seen.next().await, Saw::Missed("command"));
        }

        let frozen = lock.lock();
        publisher.send(tick(FREEZE)).await.unwrap();
        seen.held.notified().await;
        a_silence().await;
        publisher.send(tick(1)).await.unwrap();
        drop(frozen);
        for n in [FREEZE, 1] {
            assert_eq!(seen.next().await, Saw::Item(n));
            assert_eq!(seen.next().await, Saw::Missed("tick"));
        }
        assert_eq!(seen.in_ten_rounds(&node).await, []);
        node.shutdown(SOON).await;
    });
}

#[test]
fn a_panic_in_what_is_missed_is_the_components_and_a_restart_waits_anew() {
    run(async {
        let node = alone().await;
        let mut seen = drive(&node, 2).await;
        for _ in 0..2 {
            assert_eq!(seen.next().await, Saw::Started);
            // The others may have been missed before.
            seen.until(&Saw::Missed("command")).await;
        }
        let before = seen.until(&Saw::Started).await;
        assert!(!before.contains(&Saw::Missed("command")), "{before:?}");
        seen.until_silent().await;
        assert_eq!(node.describe("drive").unwrap().restarts, 2);
        assert_eq!(seen.in_ten_rounds(&node).await, []);
        node.shutdown(SOON).await;
    });
}

#[test]
fn a_component_that_stops_expects_nothing_any_more_and_an_urgent_handler_is_not_interrupted() {
    run(async {
        let node = alone().await;
        let mut seen = drive(&node, 0).await;
        seen.until_silent().await;
        let drive = node.component("drive");
        let held = drive.tell(HoldUrgently {}).await.unwrap();
        seen.held.notified().await;
        drop(drive.tell(COMMAND).await.unwrap());
        let stopped = node.shutdown(SOON);
        let let_go = async {
            // It is told to stop when it refuses what is new.
            until(|| drive.try_tell(Heartbeat {}).is_err()).await;
            a_silence().await;
            seen.go_on.notify_one();
        };
        let (report, ()) = tokio::join!(stopped, let_go);
        assert!(held.await.is_ok(), "{report:?}");
        assert_eq!(seen.next().await, Saw::Command);
        assert_eq!(seen.next().await, Saw::Stopped);
    });
}

// ---- of a process -------------------------------------------------------------------------------

/// How often input was missed.
#[botzilla::message(reply = u64)]
struct Misses {}

/// Is told all the time, from another process.
#[derive(Default)]
pub(crate) struct Told {
    missed: u64,
}

#[botzilla::component]
impl Told {
    #[botzilla::handler(expect_every = "1s", missed = missed)]
    fn heartbeat(&mut self, _: Heartbeat) {}

    fn missed(&mut self) {
        self.missed += 1;
    }

    #[botzilla::handler]
    fn misses(&mut self, _: Misses) -> u64 {
        self.missed
    }
}

#[test]
fn a_process_that_was_frozen_misses_its_input_once() {
    run(async {
        let registry = registry().await;
        let here = node(registry.address()).await;
        let child = Child::start(registry.address(), &["told"]).await;
        let told = found(&here, "told").await;
        let beats = {
            let told = told.clone();
            async move {
                loop {
                    let _ = told.tell(Heartbeat {}).await;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        };
        let beats = actix_rt::spawn(beats);
        told.ask(Heartbeat {}).await.unwrap();
        let before = told.ask(Misses {}).await.unwrap();
        child.signal("STOP");
        tokio::time::sleep(Duration::from_millis(1500)).await;
        child.signal("CONT");
        told.ask(Heartbeat {}).await.unwrap();
        let after = told.ask(Misses {}).await.unwrap();
        for _ in 0..50 {
            told.ask(Heartbeat {}).await.unwrap();
        }
        assert_eq!(
            (after - before, told.ask(Misses {}).await.unwrap()),
            (1, after)
        );
        beats.abort();
        here.shutdown(SOON).await;
        child.stop().await;
        registry.shutdown(SOON).await;
    });
}
