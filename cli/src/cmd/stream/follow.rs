//! A subscription, followed until somebody ends it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use botzilla::{Item, StreamError, StreamReason, Subscribe, Subscription};
use tokio::time::MissedTickBehavior;

use super::{Flow, Stage, flow, silence::Silence, time_is_over};
use crate::{error::CliError, plan::stream::Wanted};

const SECOND: Duration = Duration::from_secs(1);

/// What is done with what comes.
pub(super) trait Follower<T> {
    /// An item has come, and so many before it were missed.
    fn item(&mut self, stage: &mut Stage<'_>, item: &Item<T>, missed: u64);

    /// So many items of a stream were missed, and none came after them.
    fn missed(&mut self, _stream: &str, _missed: u64) {}

    /// Another second is over.
    fn second(&mut self, _: &mut Stage<'_>) {}

    /// Nothing comes any more.
    fn end(&mut self, _: &mut Stage<'_>) {}
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

/// What came.
#[derive(Default)]
struct Counts {
    items: u64,
    missed: u64,
    /// What couldn't be decoded, by stream.
    unread: BTreeMap<String, u64>,
    /// What was missed when a stream's publisher cut us off: told with the next item.
    owed: BTreeMap<String, u64>,
}

impl Counts {
    fn unread(&self) -> u64 {
        self.unread.values().sum()
    }

    fn has(&self, wanted: Option<u64>) -> bool {
        wanted.is_some_and(|wanted| self.items + self.unread() >= wanted)
    }
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
        subscribe.unreliable()
    };
    if let Some(items) = what.depth {
        subscribe = subscribe.depth(items);
    }
    if let Some(hz) = what.at_most {
        subscribe = subscribe.at_most(hz);
    }
    let subscribed = subscribe.keep_last(what.keep_last).await;
    let mut subscription = subscribed.map_err(|error| CliError::not_asked(error.to_string()))?;
    let mut counts = Counts::default();
    let ended = pump(&mut stage, what, &mut subscription, follower, &mut counts).await?;
    // Its end is told before anything else: a reliable publisher may wait.
    drop(subscription);
    for (stream, missed) in std::mem::take(&mut counts.owed) {
        follower.missed(&stream, missed);
    }
    follower.end(&mut stage);
    let stream = &what.selector;
    let Counts { items, missed, .. } = counts;
    if missed > 0 {
        stage.note(&format!(
            "{items} items of {stream} came, {missed} were missed"
        ));
    }
    match ended {
        Ended::Down => Err(CliError::not_asked("the command's node has gone down")),
        Ended::TimeIsOver if what.count.is_some() || items == 0 => {
            let came = match what.count {
                Some(count) => format!("{items} of {count} items of {stream} came"),
                None => format!("no item of {stream} came"),
            };
            Err(stage.too_late(&came))
        }
        _ if counts.unread() > 0 => {
            let unread = counts.unread();
            let text = format!(
                "{unread} items of {stream} couldn't be decoded; `botzilla stream hz` and `bw` measure \
                 them undecoded"
            );
            Err(CliError::answered_no("undecodable", text))
        }
        Ended::Counted | Ended::Enough | Ended::TimeIsOver => Ok(()),
    }
}

async fn pump<T: Send + 'static>(
    stage: &mut Stage<'_>,
    what: &Wanted,
    subscription: &mut Subscription<T>,
    follower: &mut impl Follower<T>,
    counts: &mut Counts,
) -> Result<Ended, CliError> {
    let mut seconds = tokio::time::interval_at(tokio::time::Instant::now() + SECOND, SECOND);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let deadline = stage.deadline;
    let time_is_over = time_is_over(deadline);
    let mut time_is_over = std::pin::pin!(time_is_over);
    let mut silence = Silence::new(stage.client, what);
    loop {
        let flow = tokio::select! {
            next = subscription.next(), if stage.screen.has_room() => {
                match next {
                    None => return Ok(Ended::Down),
                    Some(Ok(item)) => {
                        let owed = counts.owed.remove(item.stream()).unwrap_or_default();
                        let missed = item.missed() + owed;
                        counts.items += 1;
                        counts.missed += item.missed();
                        follower.item(stage, &item, missed);
                    }
                    Some(Err(error)) => trouble(stage, &error, counts)?,
                }
                if counts.has(what.count) {
                    return Ok(Ended::Counted);
                }
                Flow::On
            }
            moved = stage.screen.moved() => flow(moved)?,
            _ = seconds.tick() => {
                silence.look(counts.items + counts.unread(), &subscription.publishers());
                // Figures that nobody reads aren't piled up: the next have what these would have had.
                if stage.screen.has_room() {
                    follower.second(stage);
                }
                Flow::On
            }
            why = silence.reason() => {
                stage.note(&why);
                Flow::On
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
fn trouble(
    stage: &mut Stage<'_>,
    error: &StreamError,
    counts: &mut Counts,
) -> Result<(), CliError> {
    match error.reason() {
        StreamReason::BadName(_) | StreamReason::BadSetting(_) => {
            return Err(CliError::not_asked(error.to_string()));
        }
        StreamReason::Codec { .. } => {
            let unread = counts.unread.entry(error.stream().to_owned()).or_default();
            *unread += 1;
            // The next ones will be as this one; how many there were is told at the end.
            if *unread > 1 {
                return Ok(());
            }
        }
        StreamReason::CutOff { missed, .. } => {
            counts.missed += missed;
            *counts.owed.entry(error.stream().to_owned()).or_default() += missed;
        }
        _ => {}
    }
    stage.note(&error.to_string());
    Ok(())
}
