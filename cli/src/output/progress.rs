//! The demo as it goes: a bar on a terminal, lines elsewhere, silence for programs.

use std::{
    io::{self, IsTerminal, Write},
    path::Path,
};

use botzilla_examples::demo::Event;
use indicatif::{ProgressBar, ProgressStyle};

use super::no_colour;

pub(crate) enum Progress {
    Bar { bar: ProgressBar, whole_m: f64 },
    Lines,
    Silent,
}

/// The bar's length; how long the way is changes with each plan.
const STEPS: f64 = 1000.0;

impl Progress {
    pub(crate) fn new(json: bool) -> Self {
        if json {
            return Self::Silent;
        }
        if !io::stderr().is_terminal() {
            return Self::Lines;
        }
        let bar = ProgressBar::new(STEPS as u64);
        let template = if no_colour() {
            "{spinner} {bar:40} {msg}"
        } else {
            "{spinner:.green} {bar:40.cyan} {msg}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self::Bar { bar, whole_m: 0.0 }
    }

    pub(crate) fn show(&mut self, event: Event) {
        match (self, event) {
            (Self::Silent, _) => {}
            (Self::Lines, Event::Driving(_)) => {}
            (Self::Lines, event) => {
                if let Some(line) = line(&event) {
                    // Nobody is left to hear of a stderr that is closed.
                    let _ = writeln!(io::stderr(), "{line}");
                }
            }
            (Self::Bar { bar, whole_m }, Event::Driving(progress)) => {
                let driven = progress.odometry.driven_m;
                *whole_m = whole_m.max(driven + progress.ahead_m);
                bar.set_position((driven / whole_m.max(0.1) * STEPS) as u64);
                bar.set_message(format!("{driven:.1} m, {:.1} m ahead", progress.ahead_m));
            }
            (Self::Bar { bar, .. }, event) => {
                if let Some(line) = line(&event) {
                    bar.println(line);
                }
                bar.tick();
            }
        }
    }

    pub(crate) fn end(&self) {
        if let Self::Bar { bar, .. } = self {
            bar.finish_and_clear();
        }
    }
}

fn line(event: &Event) -> Option<String> {
    Some(match event {
        Event::Registry { address } => format!("registry   listens on {address}"),
        Event::Started { component } => format!("{component:<10} started"),
        Event::Stopped { heard_by, took } => format!(
            "stop       pressed on the way: heard by {} within {:.1} ms",
            heard_by.join(" and "),
            took.as_secs_f64() * 1000.0
        ),
        Event::Standing { rolled_m } => {
            format!("stop       the robot stands, after {rolled_m:.2} m")
        }
        Event::Resumed => "resume     the robot goes on".to_owned(),
        Event::Arrived => "operator   the robot is at the goal".to_owned(),
        Event::Picture { path } => format!("picture    {}", Path::new(path).display()),
        _ => return None,
    })
}
