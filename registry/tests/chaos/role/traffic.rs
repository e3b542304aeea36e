//! What a component sends: asks, tells, urgent asks and broadcasts, several at a time, and a stream.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    future::Future,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use botzilla::{BroadcastReport, CallError, ComponentRef, Ctx, Publisher, Reason};
use futures_util::{FutureExt, StreamExt, poll, stream::FuturesUnordered};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::robot::{Cast, Halt, Note, Plan, Robot, Sample, Work, filler, is_filler, publisher};
use crate::diary::{self, EVERYONE, Got, Id, Lane, Line, Outcome};

/// At most so many of one sender to one target wait for their outcome.
const OPEN: usize = 100;
/// What a few messages have, whatever the others have.
const LONG: Duration = Duration::from_secs(8);
/// What `try_tell` gives a message: it has no time of its own, but the node's.
const ASK_TIME: Duration = Duration::from_secs(5);

static RUNS: AtomicBool = AtomicBool::new(false);
static BUSY: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The next number for each sender, target and lane: it goes on after a pause.
    static NEXT: RefCell<BTreeMap<(String, String, Lane), u64>> = const { RefCell::new(BTreeMap::new()) };
    /// Items that came since somebody looked: subscriber, stream and publishing process.
    static HEARD: RefCell<BTreeMap<(String, String, u32), u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// A part of the traffic that hasn't ended.
struct Busy;

impl Busy {
    fn new() -> Self {
        BUSY.fetch_add(1, Relaxed);
        Self
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        BUSY.fetch_sub(1, Relaxed);
    }
}

pub(super) fn start() {
    RUNS.store(true, Relaxed);
}

/// Sends no more, and waits for all outcomes.
pub(super) async fn stop() {
    RUNS.store(false, Relaxed);
    while BUSY.load(Relaxed) > 0 {
        sleep(Duration::from_millis(10)).await;
    }
}

fn runs() -> bool {
    RUNS.load(Relaxed)
}

/// Items that came since this was last called.
pub(super) fn heard() -> Vec<(String, String, u32, u64)> {
    let heard = HEARD.take().into_iter();
    heard
        .map(|((by, stream, pid), count)| (by, stream, pid, count))
        .collect()
}

pub(super) fn begin(ctx: &Ctx<Robot>, plan: &Plan, is_first: bool) {
    let others = plan.names.iter().filter(|name| **name != ctx.name());
    for name in others {
        let to = ctx.component(name);
        ctx.spawn(talk(to.clone(), ctx.name().to_owned(), plan.clone()));
        ctx.spawn(halt(to, ctx.name().to_owned(), plan.within_ms));
        if is_first {
            ctx.spawn(listen(ctx.clone(), format!("{name}/item")));
        }
    }
    ctx.spawn(cast(ctx.clone(), plan.within_ms));
    if is_first {
        let samples = publisher(ctx).expect("it is published once");
        ctx.spawn(publish(samples, plan.clone()));
    }
}

fn next(from: &str, to: &str, lane: Lane) -> Id {
    let n = NEXT.with_borrow_mut(|next| {
        let key = (from.to_owned(), to.to_owned(), lane);
        let next = next.entry(key).or_default();
        *next += 1;
        *next - 1
    });
    Id {
        from: from.to_owned(),
        pid: std::process::id(),
        to: to.to_owned(),
        lane,
        n,
    }
}

async fn ticks(every_ms: u64) -> tokio::time::Interval {
    let mut ticks = interval(Duration::from_millis(every_ms));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn talk(to: ComponentRef, from: String, plan: Plan) {
    let _busy = Busy::new();
    let mut open = FuturesUnordered::new();
    let mut ticks = ticks(plan.every_ms).await;
    while runs() {
        tokio::select! {
            _ = ticks.tick() => {
                for _ in 0..plan.burst.min((OPEN - open.len().min(OPEN)) as u64) {
                    let id = next(&from, to.name(), Lane::Plain);
                    let mut sent = Box::pin(send(to.clone(), id, plan.clone()));
                    // It is sent when it is first polled: now, so that they are sent in order.
                    if poll!(&mut sent).is_pending() {
                        open.push(sent);
                    }
                }
            }
            Some(()) = open.next() => {}
        }
    }
    while open.next().await.is_some() {}
}

async fn send(to: ComponentRef, id: Id, plan: Plan) {
    let n = id.n;
    let len = if n % 50 == 7 { plan.large } else { 32 };
    let filler = filler(n, len);
    let within = match (n % 40, n % 10) {
        (0 | 5, _) => LONG,
        (_, 9) => ASK_TIME,
        _ => Duration::from_millis(plan.within_ms),
    };
    let note = |id: Id, filler| Note { id, filler };
    account(id.clone(), within, n % 10 > 4, async move {
        match n % 10 {
            0..=3 => answered(to.ask(note(id, filler)).within(within).await),
            4 => answered(to.ask(Work { id, filler }).within(within).await),
            5..=7 => delivered(match to.tell(note(id, filler)).within(within).await {
                Ok(sent) => sent.await,
                Err(error) => Err(error),
            }),
            8 => delivered(match to.tell(Work { id, filler }).within(within).await {
                Ok(sent) => sent.await,
                Err(error) => Err(error),
            }),
            _ => match to.try_tell(note(id, filler)) {
                Ok(sent) => delivered(sent.await),
                Err(error) => Outcome::NotRun(kind(error.error.reason()).to_owned()),
            },
        }
    })
    .await;
}

async fn halt(to: ComponentRef, from: String, within_ms: u64) {
    let _busy = Busy::new();
    let mut ticks = ticks(300).await;
    while runs() {
        ticks.tick().await;
        let id = next(&from, to.name(), Lane::Urgent);
        let within = Duration::from_millis(within_ms);
        let asked = to.ask(Halt { id: id.clone() }).within(within);
        account(id, within, false, asked.map(answered)).await;
    }
}

async fn cast(ctx: Ctx<Robot>, within_ms: u64) {
    let _busy = Busy::new();
    let mut ticks = ticks(250).await;
    while runs() {
        ticks.tick().await;
        let id = next(ctx.name(), EVERYONE, Lane::Cast);
        let within = Duration::from_millis(within_ms);
        let cast = ctx.broadcast(Cast { id: id.clone() }).within(within);
        let cast = cast.to_the_end().into_future();
        account(id, within, false, cast.map(reported)).await;
    }
}

/// Writes down that it is being sent, and what became of it.
async fn account(id: Id, within: Duration, is_told: bool, outcome: impl Future<Output = Outcome>) {
    diary::write(&Line::Sending {
        id: id.clone(),
        at: diary::now(),
        within: u64::try_from(within.as_millis()).expect("it is short"),
        is_told,
    });
    let outcome = outcome.await;
    let at = diary::now();
    diary::write(&Line::Ended { id, at, outcome });
}

fn answered(outcome: Result<u32, CallError>) -> Outcome {
    outcome.map_or_else(|error| failed(&error), |by| Outcome::Answered { by })
}

fn delivered(outcome: Result<(), CallError>) -> Outcome {
    outcome.map_or_else(|error| failed(&error), |()| Outcome::Delivered)
}

fn reported(outcome: Result<BroadcastReport, CallError>) -> Outcome {
    let report = match outcome {
        Ok(report) => report,
        Err(error) => return failed(&error),
    };
    let failed = report.failed.into_iter().map(|it| it.component);
    let unreached = report.unreached.into_iter().flat_map(|it| it.components);
    Outcome::Report {
        delivered: report.delivered,
        ignored: report.ignored,
        open: failed.chain(unreached).collect(),
    }
}

fn failed(error: &CallError) -> Outcome {
    let why = kind(error.reason()).to_owned();
    if error.may_have_run() {
        Outcome::MayHaveRun(why)
    } else {
        Outcome::NotRun(why)
    }
}

fn kind(reason: &Reason) -> &'static str {
    match reason {
        Reason::NoSuchComponent { .. } => "no such component",
        Reason::Overloaded { .. } => "overloaded",
        Reason::Interrupted => "interrupted",
        Reason::Stopped { .. } => "stopped",
        Reason::Expired { .. } => "expired",
        Reason::Disconnected { .. } => "disconnected",
        Reason::NotConnected(_) => "not connected",
        Reason::Full => "full",
        _ => "something else",
    }
}

async fn publish(samples: Publisher<Sample>, plan: Plan) {
    let mut ticks = ticks(plan.item_every_ms).await;
    let (stream, pid) = (samples.name().to_owned(), std::process::id());
    let mut n = 0;
    loop {
        ticks.tick().await;
        if !runs() {
            continue;
        }
        let _busy = Busy::new();
        let filler = filler(n, plan.item);
        diary::write(&Line::Publishing {
            stream: stream.clone(),
            n,
        });
        let sent = samples.send_within(Sample { pid, n, filler }, Duration::from_secs(1));
        // Given back, nobody got it: the next one has its number.
        if sent.await.is_ok() {
            let (stream, at) = (stream.clone(), diary::now());
            diary::write(&Line::Published { stream, n, at });
            n += 1;
        }
    }
}

async fn listen(ctx: Ctx<Robot>, stream: String) {
    let subscribed = ctx.subscribe::<Sample>(&stream).reliable().await;
    let mut items = subscribed.expect("the name can be one");
    while let Some(next) = items.next().await {
        // An error is news of the connection; items follow.
        let Ok(item) = next else { continue };
        diary::write(&Line::Item(Got {
            by: ctx.name().to_owned(),
            stream: item.stream().to_owned(),
            pid: item.pid,
            n: item.n,
            seq: item.seq(),
            missed: item.missed(),
            restarted: item.restarted(),
            intact: is_filler(item.n, &item.filler),
            at: diary::now(),
        }));
        HEARD.with_borrow_mut(|heard| {
            let key = (ctx.name().to_owned(), stream.clone(), item.pid);
            *heard.entry(key).or_default() += 1;
        });
    }
}
