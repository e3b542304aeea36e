//! A stream of this command's own.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use botzilla::{Ctx, Node, PublishError, Publisher, Qos, SpawnError, WhenFull};
use serde_json::Value;
use tokio::sync::Mutex;

use super::{Stage, interrupted, last_words, time_is_over};
use crate::{
    client::{Client, GOODBYE},
    cmd::ending::Ending,
    error::{CliError, with_causes},
    output::{Event, Screen},
    plan::{TIMEOUT, stream::PublishPlan},
};

/// For so long a subscriber is waited for that takes nothing.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether there is a subscriber, and what waits for it.
const LOOK: Duration = Duration::from_millis(10);
/// Items that are late by more aren't caught up with.
const LATE: Duration = Duration::from_secs(1);
/// How long what was published has to get to its subscribers: if nobody says so ..
const FLUSH: Duration = Duration::from_secs(10);
/// .. at the least, whatever --timeout has left ..
const FLUSH_AT_LEAST: Duration = Duration::from_secs(1);
/// .. and after a signal.
const FLUSH_AFTER_SIGNAL: Duration = Duration::from_secs(2);

/// The component that this command is; it hands its publisher out.
struct Source {
    stream: String,
    publisher: Arc<Mutex<Option<Publisher<Value>>>>,
}

#[botzilla::component]
impl Source {
    #[botzilla::on_start]
    async fn start(&mut self, ctx: &Ctx<Self>) -> Result<(), PublishError> {
        let when_full = WhenFull::CutOff { after: PATIENCE };
        // Kept for those who find it later than it comes.
        let qos = Qos::reliable().when_full(when_full).keep_last(1);
        let publisher = ctx.publish(&self.stream, qos)?;
        *self.publisher.lock().await = Some(publisher);
        Ok(())
    }
}

/// What was published, and is on its way.
pub(super) struct Published {
    stream: String,
    items: u64,
    subscribers: usize,
    /// What didn't leave its subscriber's queue in time.
    unsent: u64,
    /// When what the sockets have must be read.
    until: Instant,
    /// Whether it is all that was to be published.
    outcome: Result<(), CliError>,
}

pub(super) async fn run(mut stage: Stage<'_>, plan: PublishPlan) -> Result<Published, CliError> {
    let publisher = Arc::default();
    let factory = {
        let (stream, publisher) = (plan.name.stream.clone(), Arc::clone(&publisher));
        move || Source {
            stream: stream.clone(),
            publisher: Arc::clone(&publisher),
        }
    };
    let name = plan.name.component.as_str();
    let spawned = tokio::select! {
        spawned = stage.client.node().spawn(name, factory) => spawned,
        () = stage.ending.wait() => return Err(interrupted("its component was registered")),
    };
    spawned.map_err(|error| refused(&error))?;
    // Taken out: with it the stream ends when this ends.
    let Some(publisher) = publisher.lock().await.take() else {
        return Err(CliError::not_asked("the stream's component has ended"));
    };
    if plan.every.is_none() {
        someone_listens(&mut stage, &plan, &publisher).await?;
    }
    let pumped = pump(&mut stage, &plan, &publisher).await?;
    let (items, subscribers) = (publisher.published(), publisher.subscribers());
    let now = Instant::now();
    let until = match (pumped, stage.deadline) {
        (Pumped::Signalled, _) => now + FLUSH_AFTER_SIGNAL,
        (_, Some(deadline)) => deadline.max(now + FLUSH_AT_LEAST),
        (_, None) => now + FLUSH,
    };
    let unsent = flush(&mut stage, until).await;
    let outcome = match (pumped, plan.count) {
        (Pumped::TimeIsOver, Some(count)) => {
            let text = format!("{items} of {count} items of {} were published", plan.name);
            Err(stage.too_late(&text))
        }
        _ => Ok(()),
    };
    Ok(Published {
        stream: plan.name.to_string(),
        items,
        subscribers,
        unsent,
        until,
        outcome,
    })
}

/// Ends the stream, and says what became of it once that is known.
pub(super) async fn end(
    client: Client,
    screen: &mut Screen,
    ending: &mut Ending,
    published: Result<Published, CliError>,
) -> Result<(), CliError> {
    let Published {
        stream,
        items,
        subscribers,
        mut unsent,
        until,
        outcome,
    } = match published {
        Ok(published) => published,
        Err(error) => {
            client.close(GOODBYE).await;
            return Err(error);
        }
    };
    // What was written to the sockets has got there once the others have answered to the end of it.
    let left = until.saturating_duration_since(Instant::now()).max(GOODBYE);
    let has_gone = tokio::select! {
        has_gone = client.close(left) => has_gone,
        () = ending.wait() => false,
    };
    if !has_gone && unsent == 0 && items > 0 {
        unsent = subscribers as u64;
    }
    screen.show(&Event::Published {
        stream: &stream,
        items,
        subscribers,
        unsent,
    });
    let read = last_words(screen, ending, Some(until)).await;
    if unsent > 0 {
        return Err(CliError::no(format!(
            "{unsent} of the items of {stream} may not have got to their subscribers: they take them \
             more slowly, or the network does; --timeout gives it longer"
        )));
    }
    outcome.and(read)
}

/// Waits until nothing waits for any subscriber. What still does.
async fn flush(stage: &mut Stage<'_>, until: Instant) -> u64 {
    let node = stage.client.node();
    let mut look = tokio::time::interval(LOOK);
    let time_is_over = time_is_over(Some(until));
    let mut time_is_over = std::pin::pin!(time_is_over);
    loop {
        tokio::select! {
            _ = look.tick() => if waiting(node) == 0 {
                return 0;
            },
            () = stage.ending.wait() => return waiting(node),
            () = &mut time_is_over => return waiting(node),
        }
    }
}

/// How many items wait for subscribers: one that waits for two counts twice.
fn waiting(node: &Node) -> u64 {
    let streams = node.streams();
    let subscribers = streams.iter().flat_map(|stream| &stream.subscribers);
    subscribers.map(|subscriber| subscriber.queued).sum()
}

fn refused(error: &SpawnError) -> CliError {
    match error {
        SpawnError::NameTaken { name, holder } => CliError::answered_no(
            "name_taken",
            format!(
                "{name:?} is there already ({holder}), and publishes for itself; choose a component \
                 that isn't"
            ),
        ),
        // The runtime names the setting that a program has for it.
        error => CliError::not_asked(with_causes(error).replace(
            "raise `registry_time`",
            "give it more --timeout (15s for one that has just started)",
        )),
    }
}

/// Waits for a subscriber.
async fn someone_listens(
    stage: &mut Stage<'_>,
    plan: &PublishPlan,
    publisher: &Publisher<Value>,
) -> Result<(), CliError> {
    let deadline = stage.deadline.unwrap_or_else(|| Instant::now() + TIMEOUT);
    let mut look = tokio::time::interval(LOOK);
    let time_is_over = time_is_over(Some(deadline));
    let mut time_is_over = std::pin::pin!(time_is_over);
    let stream = &plan.name;
    loop {
        tokio::select! {
            _ = look.tick() => {
                if publisher.subscribers() > 0 {
                    return Ok(());
                }
            }
            () = stage.ending.wait() => {
                let what = format!("anybody subscribed to {stream}: nothing was published");
                return Err(interrupted(&what));
            }
            () = &mut time_is_over => {
                let waited = stage.timeout.unwrap_or(TIMEOUT);
                let text = format!(
                    "nobody subscribes to {stream} within {waited:?}; --timeout gives them longer"
                );
                return Err(CliError::answered_no("nobody_listens", text));
            }
        }
    }
}

/// Why no more is published.
#[derive(Clone, Copy)]
enum Pumped {
    All,
    Signalled,
    TimeIsOver,
}

async fn pump(
    stage: &mut Stage<'_>,
    plan: &PublishPlan,
    publisher: &Publisher<Value>,
) -> Result<Pumped, CliError> {
    let time_is_over = time_is_over(stage.deadline);
    let mut time_is_over = std::pin::pin!(time_is_over);
    let mut turn = Instant::now();
    let mut sent = 0;
    while plan.count.is_none_or(|count| sent < count) {
        let send = async {
            if plan.every.is_some() {
                tokio::time::sleep_until(turn.into()).await;
            }
            publisher.send(plan.item.clone()).await
        };
        tokio::select! {
            outcome = send => outcome.map_err(|error| CliError::not_asked(with_causes(&error)))?,
            () = stage.ending.wait() => return Ok(Pumped::Signalled),
            () = &mut time_is_over => return Ok(Pumped::TimeIsOver),
        }
        sent += 1;
        turn = next_turn(turn, plan.every.unwrap_or_default(), Instant::now());
    }
    Ok(Pumped::All)
}

/// When the next item goes: late by a little, it catches up, since timers are coarse; late by much, as
/// after a subscriber that was waited for, it doesn't.
fn next_turn(last: Instant, every: Duration, now: Instant) -> Instant {
    let next = last + every;
    if now.saturating_duration_since(next) > LATE {
        now
    } else {
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_that_is_late_by_a_little_is_caught_up_with_and_one_that_is_late_by_much_is_not() {
        let last = Instant::now();
        let every = Duration::from_millis(100);
        let after = |ms| last + Duration::from_millis(ms);
        assert_eq!(next_turn(last, every, after(1)), after(100));
        assert_eq!(next_turn(last, every, after(900)), after(100));
        assert_eq!(next_turn(last, every, after(5000)), after(5000));
    }
}
