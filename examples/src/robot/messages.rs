//! What the robot's components say to each other.
//!
//! Units are in the fields' names: whoever types `botzilla call drive SetVelocity '{..}'` sees
//! them. A request without contents is written `GetMap {}`, so that its JSON is `{}`.
//!
//! What is measured all the time is published, not asked for: `drive/odometry`, `lidar/scan`,
//! `camera/image` and `battery/charge` are streams of [`Odometry`], [`LaserScan`], [`Image`] and
//! [`Charge`].

use botzilla::Blob;

use crate::geometry::{Point, Pose};

/// A place on the floor.
#[botzilla::data]
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Place {
    /// Metres to the east.
    pub x_m: f64,
    /// Metres to the north.
    pub y_m: f64,
}

impl From<Point> for Place {
    fn from(Point { x, y }: Point) -> Self {
        Self { x_m: x, y_m: y }
    }
}

impl From<Place> for Point {
    fn from(Place { x_m, y_m }: Place) -> Self {
        Self::new(x_m, y_m)
    }
}

// ---- drive ----

/// Asks for a body velocity. It holds for a moment only: the drive stops when no new one comes.
#[botzilla::message(reply = Result<Odometry, DriveRefused>)]
#[derive(Debug, Clone)]
pub struct SetVelocity {
    /// Forward.
    pub linear_mps: f64,
    /// Counter-clockwise.
    pub angular_rps: f64,
}

/// Asks where the robot is.
#[botzilla::message(reply = Odometry)]
#[derive(Debug, Clone)]
pub struct GetOdometry {}

/// Where the robot is and how it moves.
#[botzilla::data]
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Odometry {
    /// Where it is.
    pub at: Place,
    /// Which way it looks: counter-clockwise from the east.
    pub heading_rad: f64,
    /// How fast it goes forward.
    pub linear_mps: f64,
    /// How fast it turns, counter-clockwise.
    pub angular_rps: f64,
    /// The way it has come since the start.
    pub driven_m: f64,
    /// How often it has bumped into something.
    pub bumps: u32,
    /// Time since the start (simulated: it may pass faster than on the wall).
    pub time_s: f64,
    /// An emergency stop holds it.
    pub stopped: bool,
}

impl Odometry {
    /// Place and heading.
    pub fn pose(&self) -> Pose {
        Pose {
            at: self.at.into(),
            heading: self.heading_rad,
        }
    }
}

/// Why the drive doesn't move.
#[botzilla::data]
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DriveRefused {
    /// An emergency stop holds it until [`Resume`].
    #[error("stopped: {reason}")]
    Stopped {
        /// The reason that was given for the stop.
        reason: String,
    },
    /// The velocity isn't a number.
    #[error("a velocity has to be a finite number")]
    NotANumber,
}

// ---- lidar ----

/// What the lidar measured, and where it was when it did.
#[botzilla::data]
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LaserScan {
    /// Where the lidar was.
    pub at: Place,
    /// Which way it looked.
    pub heading_rad: f64,
    /// Once around, counter-clockwise, the first beam straight ahead.
    pub ranges_m: Vec<f64>,
    /// How far it sees: a beam with this range met nothing.
    pub reach_m: f64,
}

impl LaserScan {
    /// Place and heading.
    pub fn pose(&self) -> Pose {
        Pose {
            at: self.at.into(),
            heading: self.heading_rad,
        }
    }
}

// ---- camera ----

/// What the camera saw, and what a pixel of it means.
#[botzilla::data]
#[derive(Debug, Clone)]
pub struct Image {
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
    /// The distance of the picture's plane, in pixels: how wide it sees.
    pub focal_px: f64,
    /// How high above the floor the camera is.
    pub eye_m: f64,
    /// Red, green and blue of each pixel, line by line from the top. As a `Blob` they are copied into
    /// the message in one go, and a subscriber borrows them from what it received.
    pub rgb: Blob,
}

/// Asks the watcher what it saw.
#[botzilla::message(reply = Sight)]
#[derive(Debug, Clone)]
pub struct GetSight {}

/// What the watcher saw in the camera's images.
#[botzilla::data]
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sight {
    /// The nearest that anything straight ahead was.
    pub nearest_m: Option<f64>,
    /// The images that it got.
    pub images: StreamCount,
}

// ---- all that subscribe ----

/// Asks a component for the streams that it lives from.
#[botzilla::message(reply = Vec<StreamCount>)]
#[derive(Debug, Clone)]
pub struct GetStreams {}

/// What came of a stream to one of its subscribers, and what did not.
#[botzilla::data]
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StreamCount {
    /// The stream, as `component/stream`.
    pub stream: String,
    /// Who subscribed.
    pub subscriber: String,
    /// Items that came.
    pub items: u64,
    /// Their bytes, if the subscriber took them as bytes.
    pub bytes: u64,
    /// Items a second, while it was subscribed.
    pub hz: f64,
    /// Items that were lost because the subscriber, or what is between, was too slow.
    pub missed: u64,
    /// Items that the publisher left out because the subscriber asked for fewer a second.
    pub thinned: u64,
}

// ---- planner ----

/// Asks the planner to drive to a place. The reply comes when the robot is there.
#[botzilla::message(reply = Result<Arrived, GoToError>)]
#[derive(Debug, Clone)]
pub struct GoTo {
    /// Where to.
    pub goal: Place,
}

/// The robot is where it was sent.
#[botzilla::data]
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Arrived {
    /// Where it stands now.
    pub odometry: Odometry,
}

/// Why the robot isn't where it was sent.
#[botzilla::data]
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GoToError {
    /// The map shows no way.
    #[error("{why}")]
    NoWay {
        /// From where to where, and what is in the way.
        why: String,
    },
    /// An emergency stop is in force; ask again after [`Resume`].
    #[error("an emergency stop is in force")]
    Stopped,
    /// The planner neither sees nor feels its way any more.
    #[error("nothing comes from {stream}: {why}")]
    NoStream {
        /// The stream.
        stream: String,
        /// What is known of it.
        why: String,
    },
    /// Another component didn't answer.
    #[error("{who} didn't answer: {why}")]
    Unanswered {
        /// The component.
        who: String,
        /// What went wrong.
        why: String,
    },
}

/// Asks for the planner's map.
#[botzilla::message(reply = FloorMap)]
#[derive(Debug, Clone)]
pub struct GetMap {}

/// What the planner knows.
#[botzilla::data]
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FloorMap {
    /// The side of a cell of the map.
    pub cell_m: f64,
    /// The middles of the cells where the lidar saw something.
    pub occupied: Vec<Place>,
    /// Every path that was planned, the one in use last.
    pub plans: Vec<Vec<Place>>,
}

/// Asks how long the planner's asks to the drive took.
#[botzilla::message(reply = Latency)]
#[derive(Debug, Clone)]
pub struct GetLatency {}

/// How long asks took, there and back, the other side's work included.
#[botzilla::data]
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Latency {
    /// How many were measured.
    pub asks: u64,
    /// Half of them took at most this.
    pub p50_us: f64,
    /// 99 of 100 took at most this.
    pub p99_us: f64,
}

/// Where the robot is on its way. The planner broadcasts it to the group `desk`, whoever is in it.
#[botzilla::message]
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Progress {
    /// How the robot moves.
    pub odometry: Odometry,
    /// The rest of the path.
    pub ahead_m: f64,
    /// How many paths were planned so far.
    pub plans: u64,
}

// ---- battery ----

/// Tells the battery what was drawn from it.
#[botzilla::message]
#[derive(Debug, Clone)]
pub struct PowerUsed {
    /// Energy.
    pub joules: f64,
}

/// Asks for the state of charge.
#[botzilla::message(reply = Charge)]
#[derive(Debug, Clone)]
pub struct GetCharge {}

/// The state of charge.
#[botzilla::data]
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Charge {
    /// What is left.
    pub percent: f64,
    /// The voltage at this charge.
    pub volts: f64,
    /// What was drawn so far.
    pub used_j: f64,
}

// ---- operator ----

/// Asks the operator to have the robot drive to a place, however often it is stopped on the way.
#[botzilla::message(reply = Result<Arrived, MissionFailed>)]
#[derive(Debug, Clone)]
pub struct Mission {
    /// Where to.
    pub goal: Place,
}

/// The mission can't be done.
#[botzilla::data]
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the mission failed: {why}")]
pub struct MissionFailed {
    /// What went wrong.
    pub why: String,
}

/// Asks for the last progress that the operator heard of.
#[botzilla::message(reply = Option<Progress>)]
#[derive(Debug, Clone)]
pub struct GetProgress {}

/// The red button: has the operator broadcast an [`EmergencyStop`].
#[botzilla::message(reply = Heard)]
#[derive(Debug, Clone)]
pub struct StopAll {
    /// Why; the drive repeats it to whoever asks it to move.
    pub reason: String,
}

/// Releases the red button: has the operator broadcast a [`Resume`].
#[botzilla::message(reply = Heard)]
#[derive(Debug, Clone)]
pub struct ResumeAll {}

/// Who heard a broadcast.
#[botzilla::data]
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Heard {
    /// The components that it was delivered to.
    pub by: Vec<String>,
    /// Who should have and didn't, and why.
    pub failed: Vec<String>,
}

// ---- to all ----

/// Everything that moves stops, now, and stays so until [`Resume`]. Broadcast to all; those who
/// have a handler for it get it before anything else that waits.
#[botzilla::message]
#[derive(Debug, Clone)]
pub struct EmergencyStop {
    /// Why.
    pub reason: String,
}

/// The emergency is over.
#[botzilla::message]
#[derive(Debug, Clone)]
pub struct Resume {}
