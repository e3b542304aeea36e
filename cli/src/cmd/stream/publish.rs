//! A stream of this command's own.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use botzilla::{Ctx, PublishError, Publisher, Qos, SpawnError, WhenFull};
use serde_json::Value;
use tokio::{sync::Mutex, time::MissedTickBehavior};

use super::{Stage, flow};
use crate::{
    error::{CliError, with_causes},
    output::Event,
    plan::{TIMEOUT, stream::PublishPlan},
};

/// For so long a subscriber is waited for that takes nothing.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether there is a subscriber.
const LOOK: Duration = Duration::from_millis(10);

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

pub(super) async fn run(mut stage: Stage<'_>, plan: PublishPlan) -> Result<(), CliError> {
    let publisher = Arc::default();
    let factory = {
        let (stream, publisher) = (plan.name.stream.clone(), Arc::clone(&publisher));
        move || Source {
            stream: stream.clone(),
            publisher: Arc::clone(&publisher),
        }
    };
    let name = plan.name.component.as_str();
    let spawned = stage.client.node().spawn(name, factory).await;
    spawned.map_err(|error| refused(&error))?;
    // Taken out: with it the stream ends when this ends.
    let Some(publisher) = publisher.lock().await.take() else {
        return Err(CliError::not_asked("the stream's component has ended"));
    };
    if plan.every.is_none() && !someone_listens(&mut stage, &publisher).await {
        let stream = &plan.name;
        let waited = stage.timeout.unwrap_or(TIMEOUT);
        return Err(CliError::answered_no(
            "nobody_listens",
            format!("nobody subscribes to {stream} within {waited:?}; --timeout gives them longer"),
        ));
    }
    let ended = pump(&mut stage, &plan, &publisher).await;
    let shown = flow((stage.show)(Event::Published {
        stream: &plan.name.to_string(),
        items: publisher.published(),
        subscribers: publisher.subscribers(),
    }));
    ended.and(shown.map(drop))
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
        error => CliError::not_asked(with_causes(error)),
    }
}

/// Waits for a subscriber. False: it didn't come in time, or isn't waited for any more.
async fn someone_listens(stage: &mut Stage<'_>, publisher: &Publisher<Value>) -> bool {
    let deadline = stage.deadline.unwrap_or_else(|| Instant::now() + TIMEOUT);
    let mut look = tokio::time::interval(LOOK);
    let time_is_over = tokio::time::sleep_until(deadline.into());
    let mut time_is_over = std::pin::pin!(time_is_over);
    loop {
        tokio::select! {
            _ = look.tick() => {
                if publisher.subscribers() > 0 {
                    return true;
                }
            }
            () = stage.ending.wait() => return false,
            () = &mut time_is_over => return false,
        }
    }
}

async fn pump(
    stage: &mut Stage<'_>,
    plan: &PublishPlan,
    publisher: &Publisher<Value>,
) -> Result<(), CliError> {
    let time_is_over = Stage::time_is_over(stage.deadline);
    let mut time_is_over = std::pin::pin!(time_is_over);
    let mut turns = tokio::time::interval(plan.every.unwrap_or(LOOK));
    // Late by a little, the next ones catch up; late by much, they don't.
    turns.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut sent = 0;
    while plan.count.is_none_or(|count| sent < count) {
        let send = async {
            if plan.every.is_some() {
                turns.tick().await;
            }
            publisher.send(plan.item.clone()).await
        };
        tokio::select! {
            outcome = send => outcome.map_err(|error| CliError::not_asked(with_causes(&error)))?,
            () = stage.ending.wait() => return Ok(()),
            () = &mut time_is_over => {
                return match plan.count {
                    Some(count) => {
                        let text = format!("{sent} of {count} items of {} were published", plan.name);
                        Err(stage.too_late(&text))
                    }
                    None => Ok(()),
                };
            }
        }
        sent += 1;
    }
    Ok(())
}
