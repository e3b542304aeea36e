//! What was typed behind `botzilla stream`. The doc comments are the help.

use clap::{Args as ClapArgs, Subcommand};

/// Shows what components publish, item by item or measured, and publishes
///
/// A stream is named `component/stream`. `echo`, `hz`, `bw` and `delay` take a pattern too: `*/scan`,
/// `lidar/*`, `group:base/*`. They wait for who publishes it, find it again when it is restarted or
/// moves, and go on until Ctrl-C, --count or --timeout. No publisher waits for them unless --reliable
/// is given: what they miss is counted. At the publisher as many items wait for them as it says itself,
/// or --depth.
#[derive(Debug, ClapArgs)]
#[command(
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = "\
Examples:
  botzilla stream list                                what is published
  botzilla stream echo lidar/scan --count 1           one item
  botzilla stream echo drive/odometry --field at.x_m --field at.y_m --csv > way.csv
  botzilla stream hz '*/scan' --timeout 5s            how often, how evenly, how much is lost
  botzilla stream pub lamp/level '{\"percent\": 50}' --rate 10"
)]
pub(crate) struct Stream {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    List(List),
    Info(Info),
    Echo(Echo),
    Pub(Publish),
    /// Shows how many items come in a second, and how evenly
    #[command(after_help = "\
Each second a line; at the end one for all. The interval is the time between two items, as they come \
to this command; its jitter is the standard deviation.

Examples:
  botzilla stream hz lidar/scan
  botzilla stream hz lidar/scan --count 100 --json | tail -1 | jq .rate_hz")]
    Hz(Measure),
    /// Shows how many bytes come in a second, and how long the items are
    #[command(after_help = "\
Each second a line; at the end one for all. Counted are the items as they travel, without headers: as \
bincode, or as JSON if their type has no other form.

Examples:
  botzilla stream bw camera/image
  botzilla stream bw 'camera/*' --timeout 10s --json")]
    Bw(Measure),
    /// Shows how old the items are when they come
    #[command(after_help = "\
Each second a line; at the end one for all. The age is the time since the item was published: in the \
publisher's process, where it may have waited for this command (--depth 1: only the newest one waits), \
and in this one. The time on the wire isn't in it, since clocks aren't compared.

Examples:
  botzilla stream delay lidar/scan
  botzilla stream delay lidar/scan --reliable --count 1000")]
    Delay(Measure),
}

/// Shows which streams there are
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  botzilla stream list
  botzilla stream list --group base
  botzilla stream list --json | jq -r '.streams[].stream'")]
pub(crate) struct List {
    /// Only those of this group's members
    #[arg(long, short)]
    pub(crate) group: Option<String>,
}

/// Shows one stream: what its items are, what it does for its subscribers, who they are
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  botzilla stream info lidar/scan
  botzilla stream info lidar/scan --json | jq .schema")]
pub(crate) struct Info {
    /// The stream: component/stream
    pub(crate) name: String,
}

/// Shows the items as they come
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  botzilla stream echo lidar/scan
  botzilla stream echo lidar/scan --field 'ranges_m[0]'    part of it: `a.b`, `a[0]`
  botzilla stream echo drive/odometry --at-most 2 --json   a line of JSON each, twice a second
  botzilla stream echo drive/odometry --count 100 --csv    a table")]
pub(crate) struct Echo {
    #[command(flatten)]
    pub(crate) what: Subscribed,

    /// Only this part of each item (again for more of them)
    #[arg(long = "field", value_name = "PATH")]
    pub(crate) fields: Vec<String>,

    /// A table with commas: a first line with the names of the fields, then a line an item
    #[arg(long)]
    pub(crate) csv: bool,

    /// Long lists and texts too
    #[arg(long)]
    pub(crate) whole: bool,

    /// Begins with so many past items, if the publisher keeps them
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) keep_last: u32,

    /// At most so many items a second; the publisher leaves the others out
    #[arg(long, value_name = "HZ", value_parser = rate)]
    pub(crate) at_most: Option<f64>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Measure {
    #[command(flatten)]
    pub(crate) what: Subscribed,
}

/// What is subscribed to, and for how long.
#[derive(Debug, ClapArgs)]
pub(crate) struct Subscribed {
    /// The stream, component/stream, or a pattern
    pub(crate) name: String,

    /// Ends after so many items
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,

    /// Every item, as far as the publisher is reliable: it waits for this command
    #[arg(long)]
    pub(crate) reliable: bool,

    /// How many items may wait for this command, at the publisher and here [default: as published]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) depth: Option<u32>,
}

/// Publishes JSON as a stream of a component that isn't there
///
/// This command becomes the component, so its name must be free. Without --rate it waits for a
/// subscriber, for as long as --timeout says, and publishes once, or --count times. With --rate it
/// begins at once and goes on until --count, --timeout or Ctrl-C. Subscribers of a type take the items
/// if the JSON fits it. It ends when all has been sent, or with exit code 1 if that isn't so within
/// --timeout [default for that: 10s].
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  botzilla stream pub lamp/level '{\"percent\": 50}'
  botzilla stream pub joystick/stick '{\"x\": 0.1, \"y\": 0}' --rate 20
  botzilla stream pub lidar/scan - --rate 10 --count 100 < scan.json")]
pub(crate) struct Publish {
    /// The stream: component/stream
    pub(crate) name: String,

    /// The item; `-` reads it from stdin
    #[arg(allow_negative_numbers = true, value_name = "JSON")]
    pub(crate) payload: String,

    /// So many items a second
    #[arg(long, value_name = "HZ", value_parser = rate)]
    pub(crate) rate: Option<f64>,

    /// Ends after so many items [default: 1, without end if there is a --rate]
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
}

/// Reads a number of items a second.
fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text
        .strip_suffix("Hz")
        .unwrap_or(text)
        .trim()
        .parse()
        .map_err(|_| "it isn't a rate; write items a second, for example 10 or 0.5".to_owned())?;
    if (0.001..=1e6).contains(&rate) {
        Ok(rate)
    } else {
        Err("it isn't between 0.001 and 1000000 items a second".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_of_items_a_second_within_reason() {
        for (text, hz) in [("10", 10.0), ("0.5", 0.5), ("30Hz", 30.0), ("1 Hz", 1.0)] {
            assert_eq!(rate(text), Ok(hz), "{text}");
        }
        for text in ["", "0", "-1", "NaN", "inf", "1e9", "often"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
