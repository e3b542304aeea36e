//! Components that the tests share with the other processes.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use botzilla::prelude::*;
use futures_util::{FutureExt, StreamExt, future::Either, stream::FuturesUnordered};

use crate::{streams_parts, world::PATIENCE};

/// Puts a component on a node: `name` or `kind:name`.
pub(crate) async fn spawn(node: &Node, part: &str) {
    let (kind, name) = part.split_once(':').unwrap_or((part, part));
    match kind {
        "echo" => node.spawn(name, Echo::default).await,
        "gate" => node.spawn(name, Gate::default).await,
        "slow" => node.spawn(name, Slow::default).await,
        "sender" => node.spawn(name, Sender::default).await,
        "pump" => crate::streams_apart::pump(node, name).await,
        "reader" => {
            node.spawn(name, crate::streams_apart::Reader::default)
                .await
        }
        "feed" => node.spawn(name, streams_parts::Feed::default).await,
        "taker" => node.spawn(name, streams_parts::Taker::default).await,
        "told" => node.spawn(name, crate::missed_input::Told::default).await,
        other => panic!("no part {other}"),
    }
    .unwrap();
}

// ---- Echo: answers ------------------------------------------------------------------------------

#[botzilla::message(reply = u64)]
pub(crate) struct Ping {
    pub(crate) n: u64,
}

/// A reply of that many bytes.
#[botzilla::message(reply = String)]
pub(crate) struct Large {
    pub(crate) bytes: u64,
}

#[botzilla::data]
pub(crate) enum Nest {
    Nothing,
    Deeper(Box<Self>),
}

/// Contains itself.
#[botzilla::message(reply = u64)]
pub(crate) struct Deep {
    pub(crate) nest: Nest,
}

/// Elements that take no bytes.
#[botzilla::message(reply = u64)]
pub(crate) struct Units {
    pub(crate) units: Vec<()>,
}

/// Which numbers came, in order.
#[botzilla::message(reply = Vec<u64>)]
pub(crate) struct Seen;

#[derive(Default)]
pub(crate) struct Echo {
    seen: Vec<u64>,
}

#[botzilla::component]
impl Echo {
    #[botzilla::handler]
    fn ping(&mut self, msg: Ping) -> u64 {
        self.seen.push(msg.n);
        msg.n
    }

    #[botzilla::handler]
    fn large(&mut self, msg: Large) -> String {
        "x".repeat(usize::try_from(msg.bytes).unwrap())
    }

    #[botzilla::handler]
    fn deep(&mut self, msg: Deep) -> u64 {
        let (mut depth, mut nest) = (0, &msg.nest);
        while let Nest::Deeper(deeper) = nest {
            (depth, nest) = (depth + 1, deeper);
        }
        depth
    }

    #[botzilla::handler]
    fn units(&mut self, msg: Units) -> u64 {
        msg.units.len() as u64
    }

    #[botzilla::handler]
    fn seen(&mut self, _: Seen) -> Vec<u64> {
        self.seen.clone()
    }
}

// ---- Gate: waits until it is opened -------------------------------------------------------------

/// Waits behind the gate.
#[botzilla::message(reply = u64)]
pub(crate) struct Wait {
    pub(crate) n: u64,
}

/// Opens the gate, for good.
#[botzilla::message]
pub(crate) struct Open;

/// Interrupts whatever runs; who has come through so far.
#[botzilla::message(reply = Vec<u64>)]
pub(crate) struct Halt {
    pub(crate) reason: String,
}

#[derive(Default)]
pub(crate) struct Gate {
    through: Vec<u64>,
    halts: Vec<String>,
    open: Arc<Opening>,
}

/// Opens a gate from outside, without a message.
#[derive(Default)]
pub(crate) struct Opening {
    open: AtomicBool,
    opened: tokio::sync::Notify,
}

impl Opening {
    pub(crate) fn open(&self) {
        self.open.store(true, SeqCst);
        self.opened.notify_one();
    }
}

impl Gate {
    pub(crate) fn opened_by(open: &Arc<Opening>) -> Self {
        Self {
            open: open.clone(),
            ..Self::default()
        }
    }
}

#[botzilla::component]
impl Gate {
    #[botzilla::handler]
    async fn wait(&mut self, msg: Wait) -> u64 {
        while !self.open.open.load(SeqCst) {
            self.open.opened.notified().await;
        }
        self.through.push(msg.n);
        msg.n
    }

    #[botzilla::handler(urgent)]
    fn open(&mut self, _: Open) {
        self.open.open();
    }

    #[botzilla::handler(urgent, broadcast)]
    fn halt(&mut self, msg: Halt) -> Vec<u64> {
        self.halts.push(msg.reason);
        self.through.clone()
    }
}

// ---- Slow: counts what comes from whom ----------------------------------------------------------

#[botzilla::message]
pub(crate) struct Item {
    pub(crate) n: u64,
}

/// The same, to be answered.
#[botzilla::message(reply = u64)]
pub(crate) struct Query {
    pub(crate) n: u64,
}

/// What came, by sender.
#[botzilla::message(reply = BTreeMap<String, Tally>)]
pub(crate) struct Tallies;

#[botzilla::data]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) items: u64,
    pub(crate) queries: u64,
    /// Numbers that were not the one after the last.
    pub(crate) out_of_order: u64,
    next: u64,
}

#[derive(Default)]
pub(crate) struct Slow {
    tallies: BTreeMap<String, Tally>,
    turns: u64,
}

impl Slow {
    async fn count(&mut self, sender: Option<&str>, n: u64) -> &mut Tally {
        self.turns += 1;
        if self.turns.is_multiple_of(64) {
            // It waits for something, so that all its senders run out of credit.
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
        let tally = self
            .tallies
            .entry(sender.unwrap_or_default().to_owned())
            .or_default();
        tally.out_of_order += u64::from(n != tally.next);
        tally.next = n + 1;
        tally
    }
}

#[botzilla::component]
impl Slow {
    #[botzilla::handler]
    async fn item(&mut self, msg: Item, ctx: &Ctx<Self>) {
        self.count(ctx.sender(), msg.n).await.items += 1;
    }

    #[botzilla::handler]
    async fn query(&mut self, msg: Query, ctx: &Ctx<Self>) -> u64 {
        self.count(ctx.sender(), msg.n).await.queries += 1;
        msg.n
    }

    #[botzilla::handler]
    fn tallies(&mut self, _: Tallies) -> BTreeMap<String, Tally> {
        self.tallies.clone()
    }
}

// ---- Sender: sends to another -------------------------------------------------------------------

/// Sends that many items and queries to a component, in one sequence of numbers.
#[botzilla::message(reply = SendReport)]
pub(crate) struct SendAll {
    pub(crate) to: String,
    pub(crate) items: u64,
    pub(crate) queries: u64,
}

#[botzilla::data]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SendReport {
    pub(crate) delivered: u64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) first_failure: Option<String>,
}

impl SendReport {
    fn failed(&mut self, error: &impl ToString) {
        self.failed += 1;
        self.first_failure.get_or_insert_with(|| error.to_string());
    }

    fn answered(&mut self, n: u64, answer: Result<u64, botzilla::CallError>) {
        match answer {
            Ok(reply) if reply == n => self.answered += 1,
            Ok(reply) => self.failed(&format!("{n} was answered by {reply}")),
            Err(error) => self.failed(&error),
        }
    }
}

#[derive(Default)]
pub(crate) struct Sender;

#[botzilla::component]
impl Sender {
    #[botzilla::handler]
    async fn send_all(&mut self, msg: SendAll, ctx: &Ctx<Self>) -> SendReport {
        let to = ctx.component(&msg.to);
        let mut report = SendReport::default();
        let mut open = FuturesUnordered::new();
        let each = (msg.items + msg.queries).div_ceil(msg.queries.max(1));
        for n in 0..msg.items + msg.queries {
            if n % each == 0 {
                let mut ask = to.ask(Query { n }).within(PATIENCE);
                // It takes its place in order when it is polled first.
                match (&mut ask).now_or_never() {
                    Some(answer) => report.answered(n, answer),
                    None => open.push(async move { (n, ask.await) }),
                }
                while open.len() > 64 {
                    let (n, answer) = open.next().await.unwrap();
                    report.answered(n, answer);
                }
                continue;
            }
            let mut tell = to.tell(Item { n }).within(PATIENCE).into_future();
            // The asks before it must get on, too: they are before it in turn.
            let told = loop {
                if open.is_empty() {
                    break tell.await;
                }
                match futures_util::future::select(&mut tell, open.next()).await {
                    Either::Left((told, _)) => break told,
                    Either::Right((Some((n, answer)), _)) => report.answered(n, answer),
                    Either::Right((None, _)) => {}
                }
            };
            match told {
                Ok(sent) => drop(sent),
                Err(error) => report.failed(&error),
            }
        }
        while let Some((n, answer)) = open.next().await {
            report.answered(n, answer);
        }
        let flushed = to.flush().await;
        report.delivered = flushed.delivered;
        report.failed += flushed.failed;
        if let Some(reason) = flushed.first_failure {
            report
                .first_failure
                .get_or_insert_with(|| reason.to_string());
        }
        report
    }
}
