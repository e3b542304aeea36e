//! What a reviewer found broken once: threads, timers and string maps.

use std::{
    cell::RefCell,
    future::{Future, IntoFuture},
    sync::{Arc, Barrier, mpsc},
    task::{Context, Wake},
    thread,
    time::{Duration, Instant},
};

use botzilla::{Ask, Map, MapComponent, MapError, MapMessage, Reason, SpawnError, prelude::*};
use futures_util::FutureExt;

const SOON: Duration = Duration::from_secs(10);

/// What a thread comes to, or the test hangs.
fn within<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || done.send(f()));
    is_done.recv_timeout(SOON).expect("it hangs")
}

fn node() -> Node {
    Node::start_blocking(NodeConfig::in_process()).unwrap()
}

fn wait<F: Future>(future: F) -> F::Output {
    futures_executor::block_on(future)
}

fn map(key: &str, value: &str) -> Map {
    Map::from([(key.to_owned(), value.to_owned())])
}

// ---- string maps --------------------------------------------------------------------------------

/// Two map components on one node; the listener of `front` is handed the component itself.
fn two(
    node: &Node,
    front: impl Fn(&MapComponent, Map) -> Result<Map, String> + Send + 'static,
) -> (MapComponent, MapComponent) {
    let (own, slot) = mpsc::channel::<MapComponent>();
    let known = RefCell::new(None);
    let listener = move |map| {
        let known = known
            .borrow_mut()
            .get_or_insert_with(|| slot.recv().unwrap())
            .clone();
        front(&known, map)
    };
    let front = wait(MapComponent::on(node, "front", listener)).unwrap();
    own.send(front.clone()).unwrap();
    let back = wait(MapComponent::on(node, "back", |mut map| {
        map.insert("seen by".to_owned(), "back".to_owned());
        Ok(map)
    }));
    (front, back.unwrap())
}

#[test]
fn a_listener_may_ask_and_broadcast_and_close() {
    within(|| {
        let node = node();
        let (_front, back) = two(&node, |own, map| {
            own.broadcast_message(&map)
                .map_err(|error| error.to_string())?;
            assert!(own.get_components().unwrap().contains(&"back".to_owned()));
            let answer = own
                .send_message("back", &map)
                .map_err(|error| error.to_string());
            own.close();
            answer
        });
        let answer = back.send_message("front", &map("go", "left")).unwrap();
        assert_eq!(answer["seen by"], "back");
        let gone = Instant::now() + SOON;
        while back.send_message("front", &Map::new()).is_ok() || node.describe("front").is_some() {
            assert!(Instant::now() < gone);
        }
        wait(node.shutdown(Duration::from_secs(1)));
    });
}

#[test]
fn listeners_that_would_wait_for_each_other_are_told_at_once() {
    within(|| {
        let node = node();
        let (front, _back) = two(&node, |own, map| {
            own.send_message("front", &map)
                .map_err(|error| error.to_string())
        });
        let began = Instant::now();
        let Err(MapError::Refused { reason, .. }) = front.send_message("front", &Map::new()) else {
            panic!("it answers itself")
        };
        assert!(reason.contains("wait for each other"), "{reason}");
        assert!(began.elapsed() < Duration::from_secs(3));
        wait(node.shutdown(Duration::ZERO));
    });
}

/// An ask that has its place in order and isn't looked at any further.
fn begun(lamp: &ComponentRef, name: &str, time: Duration) -> Ask<MapMessage> {
    let mut ask = lamp.ask(MapMessage(map("name", name))).within(time);
    assert!((&mut ask).now_or_never().is_none());
    ask
}

/// Rings when it is woken.
struct Bell(mpsc::Sender<()>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let _ = self.0.send(());
    }
}

#[test]
fn a_listener_never_hears_what_its_asker_gave_up_while_it_was_busy() {
    within(|| {
        let node = node();
        let ((heard, hears), (go, goes)) = (mpsc::channel(), mpsc::channel());
        let listener = move |map: Map| {
            heard.send(map["name"].clone()).unwrap();
            goes.recv().map_err(|error| error.to_string())?;
            Ok(map)
        };
        wait(MapComponent::on(&node, "lamp", listener)).unwrap();
        let lamp = node.component("lamp");
        let zeroth = begun(&lamp, "zeroth", SOON);
        assert_eq!(hears.recv().unwrap(), "zeroth");
        // All of these leave the queue in one go when the listener's thread is free.
        let first = begun(&lamp, "first", SOON);
        let dropped = begun(&lamp, "dropped", SOON);
        let expired = begun(&lamp, "expired", Duration::from_millis(200));
        // The same, and its asker isn't polled when its time is over.
        let (rings, rung) = mpsc::channel();
        let mut unseen = lamp
            .ask(MapMessage(map("name", "unseen")))
            .within(Duration::from_millis(200));
        let waker = Arc::new(Bell(rings)).into();
        assert!(
            unseen
                .poll_unpin(&mut Context::from_waker(&waker))
                .is_pending()
        );
        let last = begun(&lamp, "last", SOON);
        go.send(()).unwrap();
        assert_eq!(hears.recv().unwrap(), "first");
        drop(dropped);
        let is_unrun = |ask: Ask<MapMessage>| {
            let error = wait(ask).unwrap_err();
            matches!(
                error.reason(),
                Reason::Expired {
                    may_have_run: false,
                    ..
                }
            )
        };
        assert!(is_unrun(expired));
        rung.recv().unwrap();
        go.send(()).unwrap();
        assert_eq!(hears.recv().unwrap(), "last");
        go.send(()).unwrap();
        assert!(is_unrun(unseen));
        for ask in [zeroth, first, last] {
            wait(ask).unwrap().unwrap();
        }
        wait(node.shutdown(Duration::from_secs(1)));
        assert!(hears.try_recv().is_err());
    });
}

#[botzilla::message(reply = bool)]
struct Block;

#[test]
fn what_blocks_the_nodes_own_thread_is_an_error() {
    within(|| {
        let node = node();
        let (front, _back) = two(&node, |_, map| Ok(map));
        let blocking = move || {
            let front = front.clone();
            Blocking { front }
        };
        let asker = wait(node.spawn("blocking", blocking).into_future()).unwrap();
        assert!(wait(asker.ask(Block).into_future()).unwrap());
        wait(node.shutdown(Duration::ZERO));
    });
}

struct Blocking {
    front: MapComponent,
}

#[botzilla::component]
impl Blocking {
    #[botzilla::handler]
    fn block(&mut self, _: Block) -> bool {
        let asked = self.front.send_message("back", &Map::new()).unwrap_err();
        let MapError::Call(asked) = asked else {
            panic!("{asked}")
        };
        let cast = self.front.broadcast_message(&Map::new()).unwrap_err();
        let listed = self.front.get_components().unwrap_err();
        self.front.close();
        [asked, cast, listed]
            .iter()
            .all(|error| *error.reason() == Reason::WouldBlock)
    }
}

// ---- threads ------------------------------------------------------------------------------------

/// Says when the thread that it lives on ends.
struct AtEnd(#[expect(dead_code, reason = "its drop is what is heard")] mpsc::Sender<()>);

thread_local! {
    static AT_END: RefCell<Option<AtEnd>> = const { RefCell::new(None) };
}

struct Own;

#[botzilla::message]
struct End;

#[botzilla::component]
impl Own {
    #[botzilla::handler]
    fn end(&mut self, _: End, ctx: &Ctx<Self>) {
        ctx.stop();
    }
}

#[test]
fn a_thread_of_its_own_ends_with_its_component() {
    within(|| {
        let node = node();
        let ends = |fails: bool| {
            let (sender, ended) = mpsc::channel();
            let sender = Arc::new(std::sync::Mutex::new(Some(sender)));
            let factory = move || -> Result<Own, String> {
                let sender = sender.lock().unwrap().take().unwrap();
                AT_END.set(Some(AtEnd(sender)));
                if fails {
                    Err("no wheels".into())
                } else {
                    Ok(Own)
                }
            };
            (factory, ended)
        };
        let disconnected = Err(mpsc::RecvTimeoutError::Disconnected);

        let (factory, ended) = ends(true);
        let failed = wait(node.spawn("own", factory).own_thread().into_future());
        assert!(matches!(failed, Err(SpawnError::StartFailed { .. })));
        assert_eq!(
            ended.recv_timeout(SOON / 2),
            disconnected,
            "a spawn that failed"
        );

        let (factory, ended) = ends(false);
        let own = wait(node.spawn("own", factory).own_thread().into_future()).unwrap();
        wait(own.ask(End).into_future()).unwrap();
        assert_eq!(
            ended.recv_timeout(SOON / 2),
            disconnected,
            "a component that stopped"
        );
        wait(node.shutdown(Duration::ZERO));
    });
}

// ---- timers and the watchdog --------------------------------------------------------------------

struct Ticking;

#[botzilla::message]
struct Tick;

#[botzilla::message(reply = u64)]
struct Beats;

#[derive(Default)]
struct Beating(u64);

#[botzilla::component]
impl Beating {
    #[botzilla::handler]
    fn tick(&mut self, _: Tick, ctx: &Ctx<Self>) {
        ctx.every(Duration::ZERO, |this, _| this.0 += 1);
    }

    #[botzilla::handler]
    fn beats(&mut self, _: Beats) -> u64 {
        self.0
    }
}

#[test]
fn a_period_of_nothing_is_a_short_one() {
    within(|| {
        let node = node();
        let beating = wait(node.spawn("beating", Beating::default).into_future()).unwrap();
        wait(beating.ask(Tick).into_future()).unwrap();
        while wait(beating.ask(Beats).into_future()).unwrap() < 3 {}
        wait(node.shutdown(Duration::ZERO));
    });
}

/// What blocks a thread here goes on when the test comes here, too.
static MEETING: Barrier = Barrier::new(2);

#[botzilla::handler]
fn blocker(_: Tick) {
    MEETING.wait();
}

#[botzilla::component]
impl Ticking {
    #[botzilla::handler]
    fn tick(&mut self, _: Tick, ctx: &Ctx<Self>) {
        ctx.spawn(async {
            MEETING.wait();
        });
    }
}

#[test]
fn functions_and_tasks_that_block_are_named() {
    within(|| {
        let node = node();
        let _ = wait(node.spawn("blocker", blocker).into_future()).unwrap();
        let _ = wait(node.spawn("tasks", || Ticking).into_future()).unwrap();
        let _ = wait(node.spawn("apart", || Ticking).own_thread().into_future()).unwrap();
        for (name, on_node) in [("blocker", true), ("tasks", true), ("apart", false)] {
            let asked = node.component(name);
            let asking = thread::spawn(move || wait(asked.ask(Tick).into_future()));
            let by = Instant::now() + SOON / 3;
            while node.describe(name).unwrap().blocks_ms.is_none() {
                assert!(Instant::now() < by, "{name} isn't named");
                thread::yield_now();
            }
            let blocked = node.blocked().map(|blocked| blocked.component);
            assert_eq!(blocked.as_deref(), on_node.then_some(name));
            MEETING.wait();
            drop(asking.join().unwrap());
            while node.describe(name).unwrap().blocks_ms.is_some() {
                assert!(Instant::now() < by + SOON / 3);
                thread::yield_now();
            }
        }
        wait(node.shutdown(Duration::from_secs(1)));
    });
}
