//! What the planner lives from: where the robot is, and what is around it.

use std::time::{Duration, Instant};

use botzilla::StreamError;
use botzilla::prelude::*;

use super::messages::{GoToError, LaserScan, Odometry, StreamCount};
use super::tally::Tally;

/// How often the planner steers, in Hz. The drive publishes more often than that; the rest isn't sent.
const STEERS_HZ: f64 = 40.0;
/// How long the robot goes on without news of a stream.
const PATIENCE: Duration = Duration::from_secs(1);

/// The subscriptions of a planner that drives. They end when it is there, or stopped: a planner that
/// rests costs nobody anything.
#[derive(Debug)]
pub(super) struct Senses {
    odometry: Subscription<Odometry>,
    scans: Subscription<LaserScan>,
    scanned: Instant,
}

/// What came, over all its drives.
#[derive(Debug, Default)]
pub(super) struct Came {
    odometry: Tally,
    scans: Tally,
}

impl Came {
    pub(super) fn counts(&self, subscriber: &str) -> Vec<StreamCount> {
        [&self.odometry, &self.scans]
            .map(|tally| tally.count(subscriber))
            .into()
    }
}

impl Senses {
    pub(super) async fn begin<C: 'static>(
        ctx: &Ctx<C>,
        came: &mut Came,
    ) -> Result<Self, GoToError> {
        // To steer by, the newest is all that counts; of the scans each shows something new.
        let odometry = ctx.subscribe("drive/odometry").at_most(STEERS_HZ).latest(1);
        let scans = ctx.subscribe("lidar/scan").depth(16);
        came.odometry.begin();
        came.scans.begin();
        Ok(Self {
            odometry: odometry.await.map_err(|error| lost(&error))?,
            scans: scans.await.map_err(|error| lost(&error))?,
            scanned: Instant::now(),
        })
    }

    /// Waits for the next odometry.
    pub(super) async fn odometry(&mut self, came: &mut Came) -> Result<Odometry, GoToError> {
        let odometry = next(&mut self.odometry).await?;
        came.odometry.add(&odometry);
        Ok(odometry.into_value())
    }

    /// Waits for the next scan.
    pub(super) async fn scan(&mut self, came: &mut Came) -> Result<Item<LaserScan>, GoToError> {
        let scan = next(&mut self.scans).await?;
        self.scanned = Instant::now();
        came.scans.add(&scan);
        Ok(scan)
    }

    /// The next scan if one has come. An error if none has come for too long: it must not drive on
    /// without seeing.
    pub(super) fn try_scan(
        &mut self,
        came: &mut Came,
    ) -> Result<Option<Item<LaserScan>>, GoToError> {
        match self.scans.try_next() {
            Some(Ok(scan)) => {
                self.scanned = Instant::now();
                came.scans.add(&scan);
                Ok(Some(scan))
            }
            Some(Err(error)) => Err(lost(&error)),
            None if self.scanned.elapsed() > PATIENCE => Err(silent(&self.scans)),
            None => Ok(None),
        }
    }
}

async fn next<T>(items: &mut Subscription<T>) -> Result<Item<T>, GoToError> {
    match tokio::time::timeout(PATIENCE, items.next()).await {
        Ok(Some(Ok(item))) => Ok(item),
        Ok(Some(Err(error))) => Err(lost(&error)),
        // The node goes down, and this component with it.
        Ok(None) | Err(_) => Err(silent(items)),
    }
}

fn lost(error: &StreamError) -> GoToError {
    GoToError::NoStream {
        stream: error.stream().to_owned(),
        why: error.reason().to_string(),
    }
}

fn silent<T>(items: &Subscription<T>) -> GoToError {
    let why = if items.publishers().is_empty() {
        "nobody publishes it".to_owned()
    } else {
        format!("it was silent for {} s", PATIENCE.as_secs())
    };
    GoToError::NoStream {
        stream: items.selector().to_owned(),
        why,
    }
}
