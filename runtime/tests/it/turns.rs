//! Handlers and hooks at their edges: who waits with whom, who interrupts whom, what is dropped.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use botzilla::{Reason, SpawnError, prelude::*};
use tokio::sync::Notify;

#[botzilla::message(reply = Result<u64, String>)]
struct Relay {
    names: Vec<String>,
}

#[botzilla::message(reply = Result<u64, String>)]
struct RelayBeside {
    names: Vec<String>,
}

#[botzilla::message(reply = u64)]
struct Count;

/// Asks on, with state and without.
#[derive(Default)]
struct Relayer;

async fn ask_on(ctx: &Ctx<Relayer>, names: &[String]) -> Result<u64, String> {
    let Some((next, rest)) = names.split_first() else {
        return Ok(0);
    };
    let asked = ctx
        .component(next)
        .ask(Relay {
            names: rest.to_vec(),
        })
        .await;
    asked
        .map_err(|error| error.to_string())?
        .map(|hops| hops + 1)
}

#[botzilla::component]
impl Relayer {
    #[botzilla::handler]
    async fn relay(&mut self, msg: Relay, ctx: &Ctx<Self>) -> Result<u64, String> {
        ask_on(ctx, &msg.names).await
    }

    #[botzilla::handler]
    async fn relay_beside(msg: RelayBeside, ctx: &Ctx<Self>) -> Result<u64, String> {
        ask_on(ctx, &msg.names).await
    }
}

async fn node() -> Node {
    Node::start(NodeConfig::in_process()).await.unwrap()
}

#[actix_rt::test]
async fn a_handler_without_state_may_ask_its_own_component_and_closes_no_cycle() {
    let node = node().await;
    for name in ["a", "b"] {
        node.spawn(name, Relayer::default).await.unwrap();
    }
    let names = ["b", "a"].map(str::to_owned).to_vec();
    assert_eq!(
        node.component("a")
            .ask(RelayBeside { names })
            .await
            .unwrap(),
        Ok(2)
    );
    node.shutdown(Duration::from_secs(5)).await;
}

#[botzilla::message]
struct Halt {
    wait: bool,
}

/// Stops by and by; two who press the button don't keep each other from it.
struct Brake {
    begun: Arc<Notify>,
    go_on: Arc<Notify>,
    stopped: u64,
}

#[botzilla::component]
impl Brake {
    #[botzilla::handler(urgent)]
    async fn halt(&mut self, msg: Halt) {
        if msg.wait {
            self.begun.notify_one();
            self.go_on.notified().await;
        }
        self.stopped += 1;
    }

    #[botzilla::handler]
    fn count(&mut self, _: Count) -> u64 {
        self.stopped
    }
}

#[actix_rt::test]
async fn an_urgent_handler_that_waits_is_not_interrupted_by_the_next_urgent_message() {
    let node = node().await;
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begins, goes_on) = (begun.clone(), go_on.clone());
    let brake = node
        .spawn("brake", move || Brake {
            begun: begun.clone(),
            go_on: go_on.clone(),
            stopped: 0,
        })
        .await
        .unwrap();
    let first = brake.tell(Halt { wait: true }).await.unwrap();
    begins.notified().await;
    let second = brake.tell(Halt { wait: false }).await.unwrap();
    goes_on.notify_one();
    first.await.unwrap();
    second.await.unwrap();
    assert_eq!(brake.ask(Count).await.unwrap(), 2);
    node.shutdown(Duration::from_secs(5)).await;
}

/// Asks another component when it starts, for longer than a message has by default.
struct Patient;

#[botzilla::component]
impl Patient {
    #[botzilla::on_start]
    async fn wait_for_other(&mut self, ctx: &Ctx<Self>) -> Result<(), botzilla::CallError> {
        ctx.component("other").ready(Duration::from_secs(60)).await
    }

    #[botzilla::handler]
    fn count(&mut self, _: Count) -> u64 {
        1
    }
}

#[actix_rt::test]
async fn a_start_hook_has_the_time_that_it_asks_for() {
    let config = NodeConfig::in_process().ask_time(Duration::from_millis(10));
    let node = Node::start(config).await.unwrap();
    let spawning = tokio::task::spawn_local({
        let node = node.clone();
        async move { node.spawn("patient", || Patient).await }
    });
    // Well past the time that a message has by default.
    let late = node
        .component("nobody")
        .ready(Duration::from_millis(100))
        .await
        .unwrap_err();
    assert!(
        matches!(late.reason(), Reason::NoSuchComponent { .. }),
        "{late}"
    );
    assert!(!spawning.is_finished());
    node.spawn("other", Relayer::default).await.unwrap();
    let patient = spawning.await.unwrap().unwrap();
    assert_eq!(
        patient
            .ask(Count)
            .within(Duration::from_secs(5))
            .await
            .unwrap(),
        1
    );
    node.shutdown(Duration::from_secs(5)).await;
}

/// Never gets ready.
struct Stubborn;

#[botzilla::component]
impl Stubborn {
    #[botzilla::on_start]
    async fn hang(&mut self) {
        std::future::pending::<()>().await;
    }

    #[botzilla::handler]
    fn count(&mut self, _: Count) -> u64 {
        1
    }
}

#[actix_rt::test]
async fn a_spawn_that_is_given_up_while_it_starts_frees_the_name() {
    let node = node().await;
    let spawning = tokio::task::spawn_local({
        let node = node.clone();
        async move { node.spawn("name", || Stubborn).await }
    });
    while node
        .describe("name")
        .is_none_or(|it| it.state != "starting")
    {
        tokio::task::yield_now().await;
    }
    spawning.abort();
    drop(spawning.await);
    loop {
        match node.spawn("name", Relayer::default).await {
            Ok(_) => break,
            Err(SpawnError::NameTaken { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
    node.shutdown(Duration::from_secs(5)).await;
}

/// A reply that panics when it is dropped, once.
#[botzilla::data]
struct Bomb {
    armed: bool,
}

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.armed {
            panic!("bomb");
        }
    }
}

#[botzilla::message(reply = Bomb)]
struct Fetch;

struct Armoury {
    fetching: Arc<Notify>,
    hand_over: Arc<Notify>,
}

#[botzilla::component]
impl Armoury {
    #[botzilla::handler]
    async fn fetch(&mut self, _: Fetch) -> Bomb {
        self.fetching.notify_one();
        self.hand_over.notified().await;
        Bomb { armed: true }
    }

    #[botzilla::handler]
    fn count(&mut self, _: Count) -> u64 {
        7
    }
}

#[actix_rt::test]
async fn a_reply_that_panics_because_nobody_takes_it_leaves_the_component_reachable() {
    let node = node().await;
    let (fetching, hand_over) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let built = Arc::new(AtomicUsize::new(0));
    let armoury = {
        let (fetching, hand_over, built) = (fetching.clone(), hand_over.clone(), built.clone());
        node.spawn("armoury", move || {
            built.fetch_add(1, Ordering::Relaxed);
            Armoury {
                fetching: fetching.clone(),
                hand_over: hand_over.clone(),
            }
        })
    };
    let armoury = armoury.await.unwrap();
    let asked = tokio::task::spawn_local(armoury.ask(Fetch));
    fetching.notified().await;
    asked.abort();
    drop(asked.await);
    hand_over.notify_one();
    assert_eq!(armoury.ask(Count).await.unwrap(), 7);
    assert!(built.load(Ordering::Relaxed) <= 2);
    node.shutdown(Duration::from_secs(5)).await;
}

#[actix_rt::test]
async fn a_tell_that_is_given_up_while_it_waits_for_credit_is_not_counted() {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let node = node().await;
    let brake = {
        let (begun, go_on) = (begun.clone(), go_on.clone());
        node.spawn("brake", move || Brake {
            begun: begun.clone(),
            go_on: go_on.clone(),
            stopped: 0,
        })
    };
    let brake = brake.await.unwrap();
    let told = brake.tell(Halt { wait: true }).await.unwrap();
    begun.notified().await;
    let mut sent = Vec::new();
    while let Ok(one) = brake.try_tell(Halt { wait: false }) {
        sent.push(one);
    }
    let waiting = brake
        .tell(Halt { wait: false })
        .within(Duration::from_millis(20))
        .await;
    assert!(matches!(
        waiting.unwrap_err().reason(),
        Reason::Expired {
            may_have_run: false,
            ..
        }
    ));
    go_on.notify_one();
    told.await.unwrap();
    let flushed = brake.flush().await;
    assert_eq!(
        (flushed.delivered, flushed.failed),
        (sent.len() as u64 + 1, 0)
    );
    assert_eq!(brake.ask(Count).await.unwrap(), sent.len() as u64 + 1);
    node.shutdown(Duration::from_secs(5)).await;
}

#[actix_rt::test]
async fn a_message_whose_sender_looks_away_while_it_waits_keeps_nobody_behind_it_waiting() {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let node = node().await;
    let brake = {
        let (begun, go_on) = (begun.clone(), go_on.clone());
        node.spawn("brake", move || Brake {
            begun: begun.clone(),
            go_on: go_on.clone(),
            stopped: 0,
        })
    };
    let brake = brake.await.unwrap();
    drop(brake.tell(Halt { wait: true }).await.unwrap());
    begun.notified().await;
    let mut queued = 0;
    while brake.try_tell(Halt { wait: false }).is_ok() {
        queued += 1;
    }
    // Both stand in line, and are not polled again until the one behind them has its reply.
    let halt = || Halt { wait: false };
    let mut looked_away = brake.ask(halt());
    let mut told = brake.tell(halt()).into_future();
    assert!(futures_util::poll!(&mut looked_away).is_pending());
    assert!(futures_util::poll!(&mut told).is_pending());
    let mut given_up = brake.ask(halt());
    assert!(futures_util::poll!(&mut given_up).is_pending());
    drop(given_up);
    go_on.notify_one();
    brake.ask(halt()).await.unwrap();
    looked_away.await.unwrap();
    told.await.unwrap().await.unwrap();
    assert_eq!(brake.ask(Count).await.unwrap(), 1 + queued + 3);
    node.shutdown(Duration::from_secs(5)).await;
}
