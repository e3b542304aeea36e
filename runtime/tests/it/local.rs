//! Components of one node: no network is involved.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use botzilla::{Reason, prelude::*};

#[botzilla::message(reply = u64)]
#[derive(Clone)]
struct Add {
    amount: u64,
}

#[botzilla::message(reply = u64)]
struct SlowAdd {
    amount: u64,
}

#[botzilla::message]
struct Crash {
    text: String,
}

#[botzilla::message]
struct CrashLater {
    text: String,
}

#[botzilla::message(reply = u64)]
struct Stop;

#[botzilla::message(reply = String)]
struct Greet {
    name: String,
}

#[botzilla::message(reply = Result<u64, String>)]
struct AskAround {
    names: Vec<String>,
}

#[botzilla::message(reply = u32)]
struct Postponed {
    drop_it: bool,
}

#[botzilla::message]
struct Forever;

/// Counts, and does everything that a handler may do wrong.
#[derive(Default)]
struct Counter {
    total: u64,
}

#[botzilla::component(groups = ["counters"])]
impl Counter {
    #[botzilla::handler]
    fn add(&mut self, msg: Add) -> u64 {
        self.total += msg.amount;
        self.total
    }

    #[botzilla::handler]
    async fn slow_add(&mut self, msg: SlowAdd) -> u64 {
        tokio::task::yield_now().await;
        self.total += msg.amount;
        self.total
    }

    #[botzilla::handler]
    fn crash(&mut self, msg: Crash) {
        panic!("{}", msg.text);
    }

    #[botzilla::handler]
    async fn crash_later(&mut self, msg: CrashLater) {
        tokio::task::yield_now().await;
        panic!("{}", msg.text);
    }

    #[botzilla::handler(urgent, broadcast)]
    fn stop(&mut self, _: Stop) -> u64 {
        self.total
    }

    #[botzilla::handler]
    async fn greet(msg: Greet) -> String {
        format!("hello {}", msg.name)
    }

    #[botzilla::handler]
    async fn ask_around(&mut self, msg: AskAround, ctx: &Ctx<Self>) -> Result<u64, String> {
        match msg.names.split_first() {
            None => Ok(self.total),
            Some((next, rest)) => {
                let asked = ctx
                    .component(next)
                    .ask(AskAround {
                        names: rest.to_vec(),
                    })
                    .await;
                asked.map_err(|error| error.to_string())?
            }
        }
    }

    #[botzilla::handler]
    fn postponed(&mut self, msg: Postponed, ctx: &Ctx<Self>) -> Later<u32> {
        let (replier, later) = ctx.reply_later();
        if !msg.drop_it {
            ctx.spawn(async move { replier.reply(7) });
        }
        later
    }

    #[botzilla::handler]
    async fn forever(&mut self, _: Forever) {
        std::future::pending::<()>().await;
    }
}

async fn node() -> Node {
    Node::start(NodeConfig::in_process()).await.unwrap()
}

/// Until what was sent to it has left its queue.
async fn until_running(node: &Node, component: &str) {
    while node.describe(component).unwrap().queued > 0 {
        tokio::task::yield_now().await;
    }
}

#[actix_rt::test]
async fn an_ask_is_answered_by_a_sync_handler_an_async_one_and_a_function() {
    let node = node().await;
    let counter = node.spawn("counter", Counter::default).await.unwrap();
    assert_eq!(counter.ask(Add { amount: 2 }).await.unwrap(), 2);
    assert_eq!(counter.ask(SlowAdd { amount: 3 }).await.unwrap(), 5);
    let hello = counter.ask(Greet { name: "Ada".into() }).await.unwrap();
    assert_eq!(hello, "hello Ada");
    node.shutdown(Duration::from_secs(5)).await;
}

#[actix_rt::test]
async fn a_panic_is_an_answer_and_the_component_is_rebuilt_with_its_queue() {
    let node = node().await;
    let built = Arc::new(AtomicUsize::new(0));
    let counting = built.clone();
    let counter = node
        .spawn("counter", move || {
            counting.fetch_add(1, Ordering::Relaxed);
            Counter::default()
        })
        .await
        .unwrap();
    counter.ask(Add { amount: 5 }).await.unwrap();
    for crash_now in [true, false] {
        let text = "wheel fell off".to_owned();
        let (crashed, after) = if crash_now {
            futures_util::future::join(counter.ask(Crash { text }), counter.ask(Add { amount: 1 }))
                .await
        } else {
            futures_util::future::join(
                counter.ask(CrashLater { text }),
                counter.ask(Add { amount: 1 }),
            )
            .await
        };
        let crashed = crashed.unwrap_err();
        assert_eq!(
            crashed.reason(),
            &Reason::HandlerPanicked("wheel fell off".into())
        );
        assert!(crashed.may_have_run());
        // The queued one was kept, and found a new state.
        assert_eq!(after.unwrap(), 1);
    }
    assert_eq!(built.load(Ordering::Relaxed), 3);
    assert_eq!(node.describe("counter").unwrap().restarts, 2);
    node.shutdown(Duration::from_secs(5)).await;
}

#[actix_rt::test]
async fn an_urgent_message_passes_a_full_queue_and_interrupts_a_running_handler() {
    let node = node().await;
    let counter = node.spawn("counter", Counter::default).await.unwrap();
    let running = counter.tell(Forever).await.unwrap();
    until_running(&node, "counter").await;
    let mut queued = Vec::new();
    loop {
        match counter.try_tell(Add { amount: 1 }) {
            Ok(sent) => queued.push(sent),
            Err(full) => {
                assert!(full.is_full(), "{full}");
                assert_eq!(full.message.amount, 1);
                break;
            }
        }
    }
    assert_eq!(queued.len(), 255);
    assert_eq!(counter.ask(Stop).await.unwrap(), 0);
    assert_eq!(
        running.await.unwrap_err().into_reason(),
        Reason::Interrupted
    );
    for sent in queued {
        sent.await.unwrap();
    }
    assert_eq!(counter.ask(Stop).await.unwrap(), 255);
    node.shutdown(Duration::from_secs(5)).await;
}

#[actix_rt::test]
async fn a_cycle_over_three_components_fails_at_once_with_their_names() {
    let node = node().await;
    for name in ["a", "b", "c"] {
        node.spawn(name, Counter::default).await.unwrap();
    }
    let names = ["b", "c", "a"].map(str::to_owned).to_vec();
    let error = node
        .component("a")
        .ask(AskAround { names })
        .await
        .unwrap()
        .unwrap_err();
    assert!(error.contains("a -> b -> c -> a"), "{error}");
    let names = vec!["a".to_owned()];
    let error = node
        .component("a")
        .ask(AskAround { names })
        .await
        .unwrap()
        .unwrap_err();
    assert!(error.contains("a -> a"), "{error}");
    let names = ["b", "c"].map(str::to_owned).to_vec();
    assert_eq!(
        node.component("a").ask(AskAround { names }).await.unwrap(),
        Ok(0)
    );
    node.shutdown(Duration::from_secs(5)).await;
}

#[actix_rt::test]
async fn a_handler_without_state_runs_while_another_waits_with_it() {
    let node = node().await;
    let counter = node.spawn("counter", Counter::default).await.unwrap();
    let hangs = counter.tell(Forever).await.unwrap();
    let queued = counter.tell(Add { amount: 1 }).await.unwrap();
    let name = "Ada".to_owned();
    assert_eq!(counter.ask(Greet { name }).await.unwrap(), "hello Ada");
    // And it gave its credit back: more of them than the queue has room for.
    for _ in 0..1000 {
        counter
            .ask(Greet {
                name: String::new(),
            })
            .await
            .unwrap();
    }
    node.shutdown(Duration::ZERO).await;
    assert!(matches!(
        hangs.await.unwrap_err().reason(),
        Reason::Stopped { .. }
    ));
    assert!(matches!(
        queued.await.unwrap_err().reason(),
        Reason::Stopped { .. }
    ));
}

#[actix_rt::test]
async fn a_late_reply_frees_the_queue_and_a_dropped_replier_says_so() {
    let node = node().await;
    let counter = node.spawn("counter", Counter::default).await.unwrap();
    assert_eq!(counter.ask(Postponed { drop_it: false }).await.unwrap(), 7);
    let dropped = counter.ask(Postponed { drop_it: true }).await.unwrap_err();
    assert_eq!(dropped.reason(), &Reason::NoReply);
    node.shutdown(Duration::from_secs(5)).await;
}

#[actix_rt::test]
async fn an_ask_past_its_deadline_says_so_and_one_still_queued_never_runs() {
    let node = node().await;
    let counter = node.spawn("counter", Counter::default).await.unwrap();
    let running = counter.tell(Forever).await.unwrap();
    until_running(&node, "counter").await;
    let time = Duration::from_millis(20);
    let late = counter
        .ask(Add { amount: 1 })
        .within(time)
        .await
        .unwrap_err();
    assert!(matches!(late.reason(), Reason::Expired { .. }), "{late}");
    assert!(!late.may_have_run(), "{late}");
    assert_eq!(counter.ask(Stop).await.unwrap(), 0);
    assert!(running.await.is_err());
    assert_eq!(counter.ask(Add { amount: 0 }).await.unwrap(), 0);
    node.shutdown(Duration::from_secs(5)).await;
}

#[actix_rt::test]
async fn what_ended_before_it_began_counts_as_refused() {
    let node = node().await;
    let counter = node.spawn("counter", Counter::default).await.unwrap();
    let running = counter.tell(Forever).await.unwrap();
    until_running(&node, "counter").await;
    let ask = counter.ask(Add { amount: 1 });
    let late = ask.within(Duration::from_millis(20)).await.unwrap_err();
    assert!(!late.may_have_run(), "{late}");
    assert_eq!(counter.ask(Stop).await.unwrap(), 0);
    assert!(running.await.unwrap_err().may_have_run());
    assert_eq!(counter.ask(Add { amount: 0 }).await.unwrap(), 0);
    let counts = |message: &str| {
        let description = node.describe("counter").unwrap();
        let mut handlers = description.handlers.into_iter();
        let handler = handlers.find(|handler| handler.message == message);
        let counts = handler.unwrap().counters;
        (counts.delivered, counts.refused, counts.failed, counts.open)
    };
    assert_eq!(counts("Add"), (1, 1, 0, 0));
    assert_eq!(counts("Forever"), (0, 0, 1, 0));
    node.shutdown(Duration::from_secs(5)).await;
}

#[actix_rt::test]
async fn a_shutdown_may_take_for_ever() {
    let node = node().await;
    node.spawn("counter", Counter::default).await.unwrap();
    let report = node.shutdown(Duration::MAX).await;
    assert_eq!(report.drained, ["counter"]);
}

#[actix_rt::test]
async fn a_shutdown_drains_what_can_be_drained_and_cuts_the_rest() {
    let node = node().await;
    let quick = node.spawn("quick", Counter::default).await.unwrap();
    let hung = node.spawn("hung", Counter::default).await.unwrap();
    let hangs = hung.tell(Forever).await.unwrap();
    let waits = hung.tell(Add { amount: 1 }).await.unwrap();
    let runs = quick.tell(Add { amount: 1 }).await.unwrap();
    let report = node.shutdown(Duration::from_millis(50)).await;
    assert_eq!(
        (report.drained, report.cut),
        (vec!["quick".to_owned()], vec!["hung".to_owned()])
    );
    assert_eq!((report.stuck.len(), report.refused), (0, 1));
    runs.await.unwrap();
    let stopped = hangs.await.unwrap_err();
    assert!(
        matches!(stopped.reason(), Reason::Stopped { .. }),
        "{stopped}"
    );
    assert!(stopped.may_have_run(), "{stopped}");
    let stopped = waits.await.unwrap_err();
    assert!(
        matches!(stopped.reason(), Reason::Stopped { .. }),
        "{stopped}"
    );
    assert!(!stopped.may_have_run(), "it was in the queue: {stopped}");
}

#[actix_rt::test]
async fn the_order_of_tells_is_kept_when_senders_wait_for_credit() {
    #[botzilla::message]
    struct Number {
        n: u32,
    }
    struct Log(Rc<RefCell<Vec<u32>>>);
    #[botzilla::component]
    impl Log {
        #[botzilla::handler]
        async fn number(&mut self, msg: Number) {
            if msg.n.is_multiple_of(100) {
                tokio::task::yield_now().await;
            }
            self.0.borrow_mut().push(msg.n);
        }

        #[botzilla::handler]
        fn seen(&mut self, _: Seen) -> Vec<u32> {
            self.0.borrow().clone()
        }
    }
    #[botzilla::message(reply = Vec<u32>)]
    struct Seen;
    let node = node().await;
    let log = node.spawn("log", || Log(Rc::default())).await.unwrap();
    let tells = (0..2000).map(|n| {
        let log = log.clone();
        async move { log.tell(Number { n }).await.unwrap().await.unwrap() }
    });
    futures_util::future::join_all(tells).await;
    assert_eq!(log.ask(Seen).await.unwrap(), (0..2000).collect::<Vec<_>>());
    let flushed = log.flush().await;
    assert_eq!((flushed.delivered, flushed.failed), (2000, 0));
    node.shutdown(Duration::from_secs(5)).await;
}

#[test]
fn a_node_on_a_thread_of_its_own_serves_a_program_without_a_runtime() {
    let node = Node::start_blocking(NodeConfig::in_process()).unwrap();
    let total = futures_executor::block_on(async {
        let counter = node.spawn("counter", Counter::default).await.unwrap();
        counter.ask(SlowAdd { amount: 4 }).await.unwrap();
        let late = counter
            .ask(SlowAdd { amount: 4 })
            .within(Duration::from_secs(2))
            .await;
        node.shutdown(Duration::from_secs(5)).await;
        late.unwrap()
    });
    assert_eq!(total, 8);
}
