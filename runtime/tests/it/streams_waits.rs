//! A publisher that waits for full subscribers: how long, what it says of it, and when it doesn't.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use botzilla::{Ctx, Node, NodeConfig, PublishError, Publisher, Qos, SendError, WhenFull};
use tracing::field::{Field, Visit};

use crate::{
    streams::{Tick, next, publish, tick},
    world::{SOON, run, until},
};

async fn node() -> Node {
    Node::start(NodeConfig::in_process()).await.unwrap()
}

#[botzilla::message(reply = Result<(), String>)]
struct Fill {}

/// Has another component fill the stream that this one handles.
#[botzilla::message(reply = Result<(), String>)]
struct HaveFilled {}

/// Fills it from a task of its own.
#[botzilla::message]
struct FillBeside {}

/// Publishes what it handles itself.
#[derive(Default)]
struct Own {
    status: Option<Arc<Publisher<Tick>>>,
    handled: u64,
}

#[botzilla::message(reply = u64)]
struct Handled {}

async fn fill(status: &Publisher<Tick>) -> Result<(), String> {
    for n in 0..10 {
        status.send(tick(n)).await.map_err(|error| {
            assert!(matches!(error, SendError::Cycle { .. }));
            error.to_string()
        })?;
    }
    Ok(())
}

#[botzilla::component]
impl Own {
    #[botzilla::on_start]
    fn start(&mut self, ctx: &Ctx<Self>) -> Result<(), PublishError> {
        let status = ctx.publish("status", Qos::reliable().depth(4))?;
        self.status = Some(Arc::new(status));
        Ok(())
    }

    #[botzilla::handler(stream = "*/status")]
    fn on_status(&mut self, _: &Tick) {
        self.handled += 1;
    }

    #[botzilla::handler]
    async fn fill(&mut self, _: Fill) -> Result<(), String> {
        fill(self.status.as_ref().unwrap()).await
    }

    #[botzilla::handler]
    async fn have_filled(&mut self, _: HaveFilled, ctx: &Ctx<Self>) -> Result<(), String> {
        ctx.component("other").ask(Fill {}).await.unwrap()
    }

    #[botzilla::handler]
    fn fill_beside(&mut self, _: FillBeside, ctx: &Ctx<Self>) {
        let status = self.status.clone().unwrap();
        ctx.spawn(async move { fill(&status).await.unwrap() });
    }

    #[botzilla::handler]
    fn handled(&mut self, _: Handled) -> u64 {
        self.handled
    }
}

#[test]
fn a_handler_that_would_wait_for_its_own_component_is_told_so_at_once() {
    run(async {
        let node = node().await;
        node.spawn("own", Own::default).await.unwrap();
        let own = node.component("own");
        let error = own.ask(Fill {}).await.unwrap().unwrap_err();
        assert!(
            error.contains("own/status") && error.contains("handler of own"),
            "{error}"
        );
        // Nothing hangs: what was published is handled.
        while own.ask(Handled {}).await.unwrap() < 4 {}
        // Nor is it a cycle where nobody waits for the sender.
        own.ask(FillBeside {}).await.unwrap();
        while own.ask(Handled {}).await.unwrap() < 14 {}
        node.shutdown(SOON).await;
    });
}

#[test]
fn a_handler_that_would_wait_for_who_waits_for_it_is_told_so_at_once() {
    run(async {
        let node = node().await;
        node.spawn("own", Own::default).await.unwrap();
        node.spawn("other", Own::default).await.unwrap();
        let error = node.component("own").ask(HaveFilled {}).await.unwrap();
        let error = error.unwrap_err();
        assert!(
            error.contains("other/status: it would wait for itself"),
            "{error}"
        );
        node.shutdown(SOON).await;
    });
}

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn a_send_that_waits_long_says_for_whom_and_once() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    run(async move {
        let node = node().await;
        let (ticks, _made) = publish(&node, "clock", "tick", Qos::reliable().depth(1)).await;
        let mut slow = node.subscribe::<Tick>("clock/tick").await.unwrap();
        let ticks = Arc::new(ticks);
        ticks.send(tick(0)).await.unwrap();
        let sending: Vec<_> = (0..3)
            .map(|_| {
                let ticks = Arc::clone(&ticks);
                actix_rt::spawn(async move { ticks.send(tick(1)).await.unwrap() })
            })
            .collect();
        let said = || {
            let lines = log.0.lock().unwrap();
            let waits = lines.iter().filter(|line| line.contains("a send waits"));
            waits.cloned().collect::<Vec<_>>()
        };
        until(|| !said().is_empty()).await;
        for _ in 0..4 {
            next(&mut slow).await;
        }
        for sent in sending {
            sent.await.unwrap();
        }
        let said = said();
        assert_eq!(said.len(), 1, "{said:?}");
        let who = format!("a program on node {}", node.id());
        assert!(
            said[0].contains("clock/tick") && said[0].contains(&who),
            "{said:?}"
        );
        node.shutdown(SOON).await;
    });
}

#[test]
fn a_send_within_a_time_gives_the_item_back() {
    run(async {
        let node = node().await;
        let (ticks, _made) = publish(&node, "clock", "tick", Qos::reliable().depth(1)).await;
        let mut slow = node.subscribe::<Tick>("clock/tick").await.unwrap();
        let short = Duration::from_millis(10);
        ticks.send_within(tick(0), short).await.unwrap();
        let full = ticks.send_within(tick(1), short).await.unwrap_err();
        assert!(full.is_full() && full.item == tick(1));
        let mut sending = std::pin::pin!(ticks.send_within(tick(1), Duration::MAX));
        assert!(futures_util::poll!(&mut sending).is_pending());
        assert_eq!(next(&mut slow).await.n, 0);
        sending.await.unwrap();
        let item = next(&mut slow).await;
        assert_eq!((item.n, item.seq(), item.missed()), (1, 1, 0));
        node.shutdown(SOON).await;
    });
}

#[test]
fn a_cut_off_after_a_time_without_end_never_comes() {
    run(async {
        let node = node().await;
        let after = Duration::MAX;
        let qos = Qos::reliable()
            .depth(1)
            .when_full(WhenFull::CutOff { after });
        let (ticks, _made) = publish(&node, "clock", "tick", qos).await;
        let mut slow = node.subscribe::<Tick>("clock/tick").await.unwrap();
        ticks.send(tick(0)).await.unwrap();
        assert!(ticks.try_send(tick(1)).unwrap_err().is_full());
        let mut sending = std::pin::pin!(ticks.send(tick(1)));
        assert!(futures_util::poll!(&mut sending).is_pending());
        assert_eq!(next(&mut slow).await.n, 0);
        sending.await.unwrap();
        assert_eq!(next(&mut slow).await.n, 1);
        node.shutdown(SOON).await;
    });
}

#[test]
fn an_item_that_is_shared_already_is_not_moved_and_need_not_be_made_unheard() {
    run(async {
        let node = node().await;
        let (ticks, _made) = publish(&node, "clock", "tick", Qos::reliable().depth(2)).await;
        assert!(!ticks.is_heard());
        ticks.send_shared(Arc::new(tick(0))).await.unwrap();
        ticks.try_send_shared(Arc::new(tick(1))).unwrap();
        assert_eq!(ticks.published(), 2);
        let mut near = node.subscribe::<Tick>("clock/tick").await.unwrap();
        assert!(ticks.is_heard());
        let shared = Arc::new(tick(2));
        ticks.send_shared(Arc::clone(&shared)).await.unwrap();
        ticks.try_send_shared(Arc::clone(&shared)).unwrap();
        let full = ticks.try_send_shared(Arc::clone(&shared)).unwrap_err();
        assert!(full.is_full() && Arc::ptr_eq(&full.item, &shared));
        for seq in 2..4 {
            let item = next(&mut near).await;
            assert!(item.seq() == seq && Arc::ptr_eq(item.shared(), &shared));
        }
        drop(near);
        until(|| !ticks.is_heard()).await;
        node.shutdown(SOON).await;
    });
}
