//! What a run of the demo came to.

use std::fmt;
use std::path::PathBuf;

use crate::robot::messages::{Latency, Sight, StreamCount};

/// What a run of the demo came to.
#[botzilla::data]
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// The way that the robot drove.
    pub path_m: f64,
    /// How far from the goal it stands.
    pub off_goal_m: f64,
    /// How long the drive took on the wall's clock, stops included ...
    pub wall_s: f64,
    /// ... and in the simulated room.
    pub simulated_s: f64,
    /// How many paths were planned: each time the lidar saw something in the way, a new one.
    pub plans: u64,
    /// How often the robot bumped into something.
    pub bumps: u32,
    /// The emergency stops on the way.
    pub stops: Vec<Stop>,
    /// What is left in the battery.
    pub battery_percent: f64,
    /// Messages that went over TCP, from component to component.
    pub messages: u64,
    /// How long the planner's asks to the drive took.
    pub latency: Latency,
    /// What came of each stream, for each who subscribed and counted.
    pub streams: Vec<StreamCount>,
    /// What the watcher saw in the camera's images.
    pub sight: Sight,
    /// Where the picture is.
    pub picture: Option<PathBuf>,
}

/// An emergency stop and what came of it.
#[botzilla::data]
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Stop {
    /// Who heard it.
    pub heard_by: Vec<String>,
    /// How long it took until all who heard it had acted and said so.
    pub took_ms: f64,
    /// How far the robot still rolled.
    pub rolled_m: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Latency {
            asks,
            p50_us,
            p99_us,
        } = self.latency;
        writeln!(f, "path      {:.1} m, {} bumps", self.path_m, self.bumps)?;
        writeln!(
            f,
            "time      {:.1} s ({:.1} s in the simulated room)",
            self.wall_s, self.simulated_s
        )?;
        writeln!(f, "plans     {}", self.plans)?;
        for stop in &self.stops {
            writeln!(
                f,
                "stop      heard by {} within {:.1} ms, rolled {:.2} m",
                stop.heard_by.join(" and "),
                stop.took_ms,
                stop.rolled_m
            )?;
        }
        writeln!(f, "battery   {:.1} %", self.battery_percent)?;
        writeln!(f, "messages  {} over TCP", self.messages)?;
        write!(
            f,
            "asks      {asks} measured: half within {p50_us:.0} us, 99 of 100 within {p99_us:.0} us"
        )?;
        for count in &self.streams {
            write!(f, "\nstream    {}", Line(count))?;
        }
        if let Some(nearest_m) = self.sight.nearest_m {
            let images = self.sight.images.items;
            write!(
                f,
                "\nsight     {images} images, the nearest thing ahead was at {nearest_m:.2} m"
            )?;
        }
        if let Some(path) = &self.picture {
            write!(f, "\npicture   {}", path.display())?;
        }
        Ok(())
    }
}

/// A stream at one of its subscribers, as a line.
struct Line<'a>(&'a StreamCount);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StreamCount {
            stream,
            subscriber,
            items,
            bytes,
            hz,
            missed,
            thinned,
        } = self.0;
        write!(
            f,
            "{stream} to {subscriber}: {items} items, {hz:.1} Hz, {missed} missed, {thinned} thinned out"
        )?;
        if *bytes > 0 {
            write!(f, ", {} KiB", bytes.div_ceil(1024))?;
        }
        Ok(())
    }
}
