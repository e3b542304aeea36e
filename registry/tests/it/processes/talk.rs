//! What the processes say to each other.

use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};

use botzilla::{CallError, ComponentRef, Ctx, Reason};

/// Each message of the traffic has so long.
pub(crate) const LIMIT: Duration = Duration::from_secs(2);
/// And a busy machine may need so long to notice that it is over.
const SLACK: Duration = Duration::from_secs(2);
/// Between two messages of one kind to one target.
const PERIOD: Duration = Duration::from_millis(10);

/// What the tests' stream is made of.
#[botzilla::data]
#[derive(Clone, Debug)]
pub(crate) struct Beat {
    pub(crate) n: u64,
}

#[botzilla::message(reply = Echoed)]
pub(crate) struct Echo {
    pub(crate) n: u64,
}

#[botzilla::data]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Echoed {
    pub(crate) n: u64,
    pub(crate) who: Who,
}

/// An instance of a component. Two that are equal were not restarted in between.
#[botzilla::data]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) name: String,
    pub(crate) pid: u32,
    /// How often its factory has run.
    pub(crate) life: u64,
}

/// Never answered.
#[botzilla::message]
pub(crate) struct Hold {}

/// How many `Hold` have begun.
#[botzilla::message(reply = u64)]
pub(crate) struct Holding {}

/// The same, but one at a time, while the others wait.
#[botzilla::message]
pub(crate) struct Wait {}

/// Blocks its thread for good, and says so on the process's stdout.
#[botzilla::message(reply = ())]
pub(crate) struct Block {}

/// Blocks the thread for ever.
#[botzilla::message]
pub(crate) struct Hang {}

/// Panics.
#[botzilla::message]
pub(crate) struct Break {}

/// Takes so long without holding up anything but the component.
#[botzilla::message(reply = u64)]
pub(crate) struct Work {
    pub(crate) n: u64,
    pub(crate) ms: u64,
}

#[botzilla::message]
pub(crate) struct Note {
    pub(crate) from: String,
    pub(crate) n: u64,
}

/// The notes that came from one sender, in order.
#[botzilla::message(reply = Vec<u64>)]
pub(crate) struct Notes {
    pub(crate) from: String,
}

/// Has the component ask, tell or broadcast.
#[botzilla::message(reply = Result<Echoed, String>)]
pub(crate) struct AskOther {
    pub(crate) to: String,
    pub(crate) n: u64,
}

#[botzilla::message(reply = Result<u64, String>)]
pub(crate) struct TellOther {
    pub(crate) to: String,
    pub(crate) count: u64,
}

#[botzilla::message(reply = Result<botzilla::BroadcastReport, String>)]
pub(crate) struct TellAll {
    pub(crate) n: u64,
    pub(crate) group: Option<String>,
}

/// What the node knows of.
#[botzilla::message(reply = Vec<String>)]
pub(crate) struct Known {}

/// Begins to ask and tell each of these, and to broadcast, again and again.
#[botzilla::message]
pub(crate) struct Begin {
    pub(crate) targets: Vec<String>,
}

/// What became of it since it was last asked.
#[botzilla::message(reply = Tally)]
pub(crate) struct TakeTally {}

#[botzilla::data]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) done: u64,
    /// What went well: `ask b`, `tell b`, `broadcast (all)`.
    pub(crate) well: Vec<String>,
    pub(crate) failed: Vec<Failed>,
    /// Messages that ended later than they had to, by a lot.
    pub(crate) overdue: Vec<String>,
}

#[botzilla::data]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) target: String,
    pub(crate) kind: String,
    pub(crate) text: String,
    pub(crate) count: u64,
}

impl Tally {
    /// Panics unless all went well.
    pub(crate) fn assert_clean(&self, whose: &str) {
        assert!(self.failed.is_empty(), "{whose}: {self:#?}");
        assert!(self.overdue.is_empty(), "{whose}: {self:#?}");
        assert!(self.done > 20, "{whose} had no traffic: {self:#?}");
    }

    /// Panics if anything failed but what was for `dead`, which may fail in these ways.
    pub(crate) fn assert_only(&self, whose: &str, dead: &[&str], kinds: &[&str]) {
        for failed in &self.failed {
            assert!(dead.contains(&&*failed.target), "{whose}: {failed:#?}");
            assert!(kinds.contains(&&*failed.kind), "{whose}: {failed:#?}");
        }
        assert!(self.overdue.is_empty(), "{whose}: {self:#?}");
        assert!(self.done > 20, "{whose} had no traffic: {self:#?}");
    }

    fn fail(&mut self, target: &str, kind: String, text: String) {
        let same = |it: &&mut Failed| it.target == target && it.kind == kind;
        match self.failed.iter_mut().find(same) {
            Some(known) => known.count += 1,
            None => self.failed.push(Failed {
                target: target.to_owned(),
                kind,
                text,
                count: 1,
            }),
        }
    }

    fn note(&mut self, what: &str, target: &str, since: Instant, result: Result<(), CallError>) {
        let took = since.elapsed();
        if took > LIMIT + SLACK {
            self.overdue.push(format!("{what} to {target}: {took:?}"));
        }
        match result {
            Ok(()) => {
                self.done += 1;
                let what = format!("{what} {target}");
                if !self.well.contains(&what) {
                    self.well.push(what);
                }
            }
            Err(error) => self.fail(target, kind(error.reason()), format!("{what}: {error}")),
        }
    }
}

/// What kind of failure it is, as tests expect it.
pub(crate) fn kind(reason: &Reason) -> String {
    match reason {
        Reason::Disconnected {
            may_have_run: true, ..
        } => "disconnected, may have run".to_owned(),
        Reason::Disconnected { .. } => "disconnected, did not run".to_owned(),
        Reason::NotConnected(_) => "not connected".to_owned(),
        Reason::NoSuchComponent { .. } => "no such component".to_owned(),
        Reason::Expired { .. } => "expired".to_owned(),
        Reason::Stopped { .. } => "stopped".to_owned(),
        other => other.to_string(),
    }
}

/// Asks, tells and broadcasts until the component ends.
pub(crate) fn traffic<C: 'static>(ctx: &Ctx<C>, targets: &[String], tally: &Rc<RefCell<Tally>>) {
    for target in targets {
        let to = ctx.component(target);
        ctx.spawn(ask_on_and_on(to.clone(), tally.clone()));
        ctx.spawn(tell_on_and_on(to, ctx.name().to_owned(), tally.clone()));
    }
    let (own, tally) = (ctx.clone(), tally.clone());
    ctx.spawn(async move {
        for n in 0.. {
            let since = Instant::now();
            let from = "(broadcast)".to_owned();
            let report = own.broadcast(Note { from, n }).within(LIMIT).await;
            {
                let mut now = tally.borrow_mut();
                now.note(
                    "broadcast",
                    "(all)",
                    since,
                    report.as_ref().map(|_| ()).map_err(Clone::clone),
                );
                for failed in report.iter().flat_map(|it| &it.failed) {
                    now.fail(
                        &failed.component,
                        "broadcast failed".to_owned(),
                        failed.reason.clone(),
                    );
                }
                for unreached in report.iter().flat_map(|it| &it.unreached) {
                    let names = unreached.components.join(" ");
                    now.fail(&names, "unreached".to_owned(), unreached.reason.clone());
                }
            }
            tokio::time::sleep(PERIOD * 5).await;
        }
    });
}

async fn ask_on_and_on(to: ComponentRef, tally: Rc<RefCell<Tally>>) {
    for n in 0.. {
        let since = Instant::now();
        let reply = to.ask(Echo { n }).within(LIMIT).await;
        if let Ok(reply) = &reply {
            assert_eq!(
                (reply.n, &*reply.who.name),
                (n, to.name()),
                "an answer to another question"
            );
        }
        tally
            .borrow_mut()
            .note("ask", to.name(), since, reply.map(drop));
        tokio::time::sleep(PERIOD).await;
    }
}

async fn tell_on_and_on(to: ComponentRef, from: String, tally: Rc<RefCell<Tally>>) {
    for n in 0.. {
        let since = Instant::now();
        let note = Note {
            from: from.clone(),
            n,
        };
        let told = match to.tell(note).within(LIMIT).await {
            Ok(sent) => sent.await,
            Err(error) => Err(error),
        };
        tally.borrow_mut().note("tell", to.name(), since, told);
        tokio::time::sleep(PERIOD).await;
    }
}
