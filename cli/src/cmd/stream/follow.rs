//! A subscription, followed until somebody ends it.

use std::time::{Duration, Instant};

use botzilla::{Item, StreamError, StreamReason, Subscribe, Subscription};
use tokio::time::MissedTickBehavior;

use super::{Flow, Stage};
use crate::{error::CliError, plan::stream::Wanted};

/// How many items may wait for a command that isn't reliable: it shows each, and a publisher doesn't
/// wait for it.
const DEPTH: u32 = 1024;
const SECOND: Duration = Duration::from_secs(1);

/// What is done with what comes.
pub(super) trait Follower<T> {
    /// An item has come.
    fn item(&mut self, stage: &mut Stage<'_>, item: &Item<T>) -> Result<Flow, CliError>;

    /// Another second is over.
    fn second(&mut self, _: &mut Stage<'_>) -> Result<Flow, CliError> {
        Ok(Flow::On)
    }

    /// Nothing comes any more.
    fn end(&mut self, _: &mut Stage<'_>) -> Result<(), CliError> {
        Ok(())
    }
}

/// Why it ended.
enum Ended {
    /// There were as many items as were wanted.
    Counted,
    /// The person, or the reader of the output, has seen enough.
    Enough,
    TimeIsOver,
    /// The node has gone down.
    Down,
}

pub(super) async fn follow<T: Send + 'static>(
    mut stage: Stage<'_>,
    what: &Wanted,
    subscribe: Subscribe<T>,
    follower: &mut impl Follower<T>,
) -> Result<(), CliError> {
    let mut subscribe = if what.reliable {
        subscribe.reliable()
    } else {
        subscribe.latest(DEPTH)
    };
    if let Some(hz) = what.at_most {
        subscribe = subscribe.at_most(hz);
    }
    let subscribed = subscribe.keep_last(what.keep_last).await;
    let mut subscription = subscribed.map_err(|error| CliError::not_asked(error.to_string()))?;
    let mut items = 0;
    let ended = pump(&mut stage, what, &mut subscription, follower, &mut items).await?;
    let missed = subscription.missed();
    // Its end is told before anything else: a reliable publisher may wait.
    drop(subscription);
    follower.end(&mut stage)?;
    let stream = &what.selector;
    if missed > 0 {
        stage.note(&format!(
            "{items} items of {stream} came, {missed} were missed"
        ))?;
    }
    match ended {
        Ended::Counted | Ended::Enough => Ok(()),
        Ended::Down => Err(CliError::not_asked("the command's node has gone down")),
        Ended::TimeIsOver => match what.count {
            Some(count) => {
                Err(stage.too_late(&format!("{items} of {count} items of {stream} came")))
            }
            None if items == 0 => Err(stage.too_late(&format!("no item of {stream} came"))),
            None => Ok(()),
        },
    }
}

async fn pump<T: Send + 'static>(
    stage: &mut Stage<'_>,
    what: &Wanted,
    subscription: &mut Subscription<T>,
    follower: &mut impl Follower<T>,
    items: &mut u64,
) -> Result<Ended, CliError> {
    let mut seconds = tokio::time::interval_at(tokio::time::Instant::now() + SECOND, SECOND);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let deadline = stage.deadline;
    let time_is_over = Stage::time_is_over(deadline);
    let mut time_is_over = std::pin::pin!(time_is_over);
    let mut was_told = false;
    loop {
        let flow = tokio::select! {
            next = subscription.next() => match next {
                None => return Ok(Ended::Down),
                Some(Ok(item)) => {
                    *items += 1;
                    let flow = follower.item(stage, &item)?;
                    if what.count.is_some_and(|count| *items >= count) {
                        return Ok(Ended::Counted);
                    }
                    flow
                }
                Some(Err(error)) => trouble(stage, &error)?,
            },
            _ = seconds.tick() => {
                if *items == 0 && !was_told && subscription.publishers().is_empty() {
                    was_told = true;
                    waiting(stage, &what.selector).await?;
                }
                follower.second(stage)?
            }
            () = stage.ending.wait() => return Ok(Ended::Enough),
            () = &mut time_is_over => return Ok(Ended::TimeIsOver),
        };
        // A stream that is always ready mustn't be followed beyond its time.
        let is_late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        match flow {
            Flow::End => return Ok(Ended::Enough),
            Flow::On if is_late => return Ok(Ended::TimeIsOver),
            Flow::On => {}
        }
    }
}

/// What a subscription says besides: the person is told, and it goes on.
fn trouble(stage: &mut Stage<'_>, error: &StreamError) -> Result<Flow, CliError> {
    match error.reason() {
        StreamReason::BadName(_) | StreamReason::BadSetting(_) => {
            Err(CliError::not_asked(error.to_string()))
        }
        _ => stage.note(&error.to_string()),
    }
}

/// Nothing came for a second: says why, as far as the registry knows.
async fn waiting(stage: &mut Stage<'_>, selector: &str) -> Result<Flow, CliError> {
    let listed = tokio::time::timeout(SECOND, stage.client.list_now()).await;
    // Without an answer the same holds, only that no name is close to this one.
    let components = listed
        .ok()
        .and_then(Result::ok)
        .map_or(Vec::new(), |it| it.0);
    let names: Vec<String> = components
        .iter()
        .flat_map(|listed| {
            let streams = listed.streams.iter();
            streams.map(|stream| format!("{}/{}", listed.name, stream.name))
        })
        .collect();
    let why = if names.iter().any(|name| name == selector) {
        format!("waiting for {selector}: its publisher isn't connected yet")
    } else {
        let close = botzilla::directory::similar(selector, names.iter().map(String::as_str));
        let close = match &*close {
            [] => String::new(),
            close => format!("; close names: {}", close.join(", ")),
        };
        format!("waiting for {selector}, which nobody publishes yet{close}")
    };
    stage.note(&why)
}
