//! A drawing of a run, as SVG: the room, what the lidar saw, the paths planned and driven.

use std::fmt::Write as _;

use crate::geometry::{Point, Pose};
use crate::sim::{Obstacle, Room};

/// What a run left behind to draw.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// Every path that was planned, in order.
    pub plans: Vec<Vec<Point>>,
    /// Where the robot was, in order.
    pub driven: Vec<Point>,
    /// Where it stood still after an emergency stop.
    pub stops: Vec<Pose>,
    /// Where it ended.
    pub end: Pose,
    /// What the lidar saw: the middles of the occupied cells.
    pub seen: Vec<Point>,
    /// The side of such a cell, in metres.
    pub cell: f64,
    /// The radius of the robot, in metres.
    pub radius: f64,
    /// A line under the title.
    pub caption: String,
}

/// Pixels in a metre, and around the room.
const SCALE: f64 = 96.0;
const MARGIN: f64 = 36.0;
const HEADER: f64 = 74.0;
const FOOTER: f64 = 62.0;

const STYLE: &str = "
  text { font-family: 'Helvetica Neue', Helvetica, Arial, 'DejaVu Sans', sans-serif; fill: #1f2933 }
  .title { font-size: 22px; font-weight: 600 }
  .caption { font-size: 14px; fill: #52606d }
  .key { font-size: 13px; fill: #3e4c59 }
  .mark { font-size: 13px; font-weight: 600 }
  .scale { font-size: 11px; fill: #7b8794 }
  .floor { fill: #fbfaf7 } .tile { stroke: #ece8df; stroke-width: 1 }
  .wall { fill: none; stroke: #323f4b; stroke-width: 8; stroke-linejoin: round }
  .partition { fill: #52606d } .thing { fill: #d9cdb8; stroke: #a8977a; stroke-width: 1.5 }
  .seen { fill: #e8590c; fill-opacity: .8 }
  .old { fill: none; stroke: #228be6; stroke-opacity: .4; stroke-width: 1.5; stroke-dasharray: 5 5 }
  .plan { fill: none; stroke: #0b5cad; stroke-width: 2; stroke-dasharray: 7 7 }
  .swept { fill: none; stroke: #2f9e44; stroke-opacity: .13; stroke-linecap: round; stroke-linejoin: round }
  .driven { fill: none; stroke: #51cf66; stroke-width: 5; stroke-linecap: round; stroke-linejoin: round }
  .robot { fill: #fff; stroke: #1f2933; stroke-width: 2.5 } .nose { stroke: #1f2933; stroke-width: 2.5; stroke-linecap: round }
  .goal { fill: none; stroke: #c92a2a; stroke-width: 2.5 } .goal-in { fill: #c92a2a }
  .stop { fill: #e03131; stroke: #fff; stroke-width: 2 } .stop-text { font-size: 9px; font-weight: 700; fill: #fff }
  .halo { stroke: #fbfaf7; stroke-width: 4; stroke-linejoin: round; paint-order: stroke }
";

/// Draws a run in a room.
pub fn svg(room: &Room, trace: &Trace) -> String {
    let mut canvas = Canvas {
        height: room.size.y,
        out: String::new(),
    };
    let width = room.size.x.mul_add(SCALE, 2.0 * MARGIN);
    let height = room.size.y.mul_add(SCALE, HEADER + FOOTER);
    canvas.room(room);
    canvas.run(room, trace);
    canvas.legend(room);
    let caption = escaped(&trace.caption);
    let body = canvas.out;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\">\n\
         <title>A robot's way through a room</title>\n<style>{STYLE}</style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text class=\"title\" x=\"{MARGIN}\" y=\"32\">Botzilla: a robot's way through a room</text>\n\
         <text class=\"caption\" x=\"{MARGIN}\" y=\"55\">{caption}</text>\n{body}</svg>\n"
    )
}

struct Canvas {
    /// Of the room: north is up on paper, and down in SVG.
    height: f64,
    out: String,
}

impl Canvas {
    fn x(x: f64) -> f64 {
        x.mul_add(SCALE, MARGIN)
    }

    fn y(&self, y: f64) -> f64 {
        (self.height - y).mul_add(SCALE, HEADER)
    }

    fn put(&mut self, element: &str) {
        self.out.push_str(element);
        self.out.push('\n');
    }

    fn room(&mut self, room: &Room) {
        let (left, top) = (Self::x(0.0), self.y(room.size.y));
        let (wide, high) = (room.size.x * SCALE, room.size.y * SCALE);
        let frame = format!("x=\"{left}\" y=\"{top}\" width=\"{wide}\" height=\"{high}\"");
        self.put(&format!("<rect class=\"floor\" {frame}/>"));
        for metre in 1..room.size.x.ceil() as i32 {
            let x = Self::x(f64::from(metre));
            let bottom = top + high;
            self.put(&format!("<path class=\"tile\" d=\"M{x} {top}V{bottom}\"/>"));
        }
        for metre in 1..room.size.y.ceil() as i32 {
            let y = self.y(f64::from(metre));
            let right = left + wide;
            self.put(&format!("<path class=\"tile\" d=\"M{left} {y}H{right}\"/>"));
        }
        for partition in &room.partitions {
            self.obstacle(partition, "partition");
        }
        for piece in &room.furniture {
            self.obstacle(piece, "thing");
        }
        // The wall's line lies outside of the floor.
        let (x, y, w, h) = (left - 4.0, top - 4.0, wide + 8.0, high + 8.0);
        self.put(&format!(
            "<rect class=\"wall\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"/>"
        ));
    }

    fn obstacle(&mut self, obstacle: &Obstacle, class: &str) {
        let element = match *obstacle {
            Obstacle::Post { center, radius } => {
                let (x, y, r) = (Self::x(center.x), self.y(center.y), radius * SCALE);
                format!("<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{r:.1}\"/>")
            }
            Obstacle::Block {
                center,
                half,
                angle,
            } => {
                let (x, y) = (Self::x(center.x), self.y(center.y));
                let (w, h) = (half.x * SCALE, half.y * SCALE);
                let (turn, wide, high) = (-angle.to_degrees(), 2.0 * w, 2.0 * h);
                format!(
                    "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{wide:.1}\" \
                     height=\"{high:.1}\" rx=\"2\" transform=\"rotate({turn:.1} {x:.1} {y:.1})\"/>",
                    x - w,
                    y - h
                )
            }
        };
        self.put(&element);
    }

    fn run(&mut self, room: &Room, trace: &Trace) {
        self.line(&trace.driven, "swept", 2.0 * trace.radius * SCALE);
        self.seen(trace);
        let (last, earlier) = match trace.plans.split_last() {
            Some((last, earlier)) => (last.as_slice(), earlier),
            None => Default::default(),
        };
        for plan in earlier {
            self.line(plan, "old", 0.0);
        }
        self.line(&trace.driven, "driven", 0.0);
        // On top: the robot keeps to it so well that it would lie hidden below.
        self.line(last, "plan", 0.0);
        self.goal(room.goal);
        self.robot(room.start, trace.radius);
        self.label(room.start.at, trace.radius, "start");
        self.robot(trace.end, trace.radius);
        for stop in &trace.stops {
            let (x, y) = (Self::x(stop.at.x), self.y(stop.at.y));
            let sign = stop_sign(x, y);
            self.put(&sign);
            self.label(stop.at, trace.radius + 0.06, "emergency stop");
        }
        self.label(room.goal, trace.radius + 0.06, "goal");
    }

    fn seen(&mut self, trace: &Trace) {
        if trace.seen.is_empty() {
            return;
        }
        // Smaller than the cell, so that what stands there shows.
        let side = 0.55 * trace.cell * SCALE;
        let mut path = String::new();
        for cell in &trace.seen {
            let (x, y) = (Self::x(cell.x) - side / 2.0, self.y(cell.y) - side / 2.0);
            // Writing to a string can't fail.
            let _ = write!(path, "M{x:.1} {y:.1}h{side:.1}v{side:.1}h-{side:.1}z");
        }
        self.put(&format!("<path class=\"seen\" d=\"{path}\"/>"));
    }

    fn line(&mut self, points: &[Point], class: &str, width: f64) {
        let mut path = String::new();
        for (index, point) in points.iter().enumerate() {
            let command = if index == 0 { 'M' } else { 'L' };
            let _ = write!(
                path,
                "{command}{:.1} {:.1}",
                Self::x(point.x),
                self.y(point.y)
            );
        }
        let style = if width > 0.0 {
            format!(" stroke-width=\"{width:.1}\"")
        } else {
            String::new()
        };
        self.put(&format!("<path class=\"{class}\"{style} d=\"{path}\"/>"));
    }

    fn robot(&mut self, pose: Pose, radius: f64) {
        let (x, y, r) = (Self::x(pose.at.x), self.y(pose.at.y), radius * SCALE);
        let nose = pose.at + Point::along(pose.heading) * radius;
        let (nose_x, nose_y) = (Self::x(nose.x), self.y(nose.y));
        self.put(&format!(
            "<circle class=\"robot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{r:.1}\"/>\
             <path class=\"nose\" d=\"M{x:.1} {y:.1}L{nose_x:.1} {nose_y:.1}\"/>"
        ));
    }

    fn goal(&mut self, at: Point) {
        let (x, y) = (Self::x(at.x), self.y(at.y));
        self.put(&format!(
            "<circle class=\"goal\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"26\"/>\
             <circle class=\"goal\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"15\"/>\
             <circle class=\"goal-in\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"/>"
        ));
    }

    fn label(&mut self, at: Point, below: f64, text: &str) {
        let (x, y) = (Self::x(at.x), self.y(at.y - below) + 16.0);
        self.put(&format!(
            "<text class=\"mark halo\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{text}</text>"
        ));
    }

    fn legend(&mut self, room: &Room) {
        let y = self.y(0.0) + 36.0;
        let line = |class: &str| format!("<path class=\"{class}\" d=\"M0 0H34\"/>");
        let keys = [
            (line("plan"), 34.0, "planned at last"),
            (line("old"), 34.0, "planned before"),
            (line("driven"), 34.0, "driven"),
            (
                "<path class=\"seen\" d=\"M0 -4h3v3h-3zM5 -2h3v3h-3zM10 1h3v3h-3zM15 1h3v3h-3z\"/>"
                    .into(),
                18.0,
                "seen by the lidar",
            ),
            (
                "<rect class=\"thing\" y=\"-7\" width=\"22\" height=\"14\" rx=\"2\"/>".into(),
                22.0,
                "furniture",
            ),
            (
                "<rect class=\"partition\" y=\"-4\" width=\"22\" height=\"8\"/>".into(),
                22.0,
                "partition",
            ),
        ];
        let mut x = MARGIN;
        for (symbol, width, text) in keys {
            let shown = format!(
                "<g transform=\"translate({x} {y})\">{symbol}\
                 <text class=\"key\" x=\"{}\" y=\"5\">{text}</text></g>",
                width + 8.0
            );
            self.put(&shown);
            x += 7.2f64.mul_add(text.len() as f64, width + 34.0);
        }
        let end = Self::x(room.size.x);
        let right = end - SCALE;
        self.put(&format!(
            "<path d=\"M{right} {a}v8m0 -4H{end}m0 -4v8\" stroke=\"#7b8794\" fill=\"none\"/>\
             <text class=\"scale\" x=\"{mid}\" y=\"{below}\" text-anchor=\"middle\">1 m</text>",
            a = y - 4.0,
            mid = right + SCALE / 2.0,
            below = y + 16.0
        ));
    }
}

/// An octagon with the word in it.
fn stop_sign(x: f64, y: f64) -> String {
    let mut points = String::new();
    for corner in 0..8 {
        let angle = (f64::from(corner) + 0.5) * std::f64::consts::FRAC_PI_4;
        let _ = write!(
            points,
            "{:.1},{:.1} ",
            18f64.mul_add(angle.cos(), x),
            18f64.mul_add(angle.sin(), y)
        );
    }
    let below = y + 3.2;
    format!(
        "<polygon class=\"stop\" points=\"{points}\"/>\
         <text class=\"stop-text\" x=\"{x:.1}\" y=\"{below:.1}\" text-anchor=\"middle\">STOP</text>"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caption_cannot_break_the_drawing() {
        let trace = Trace {
            caption: "<script> & co".into(),
            ..Trace::default()
        };
        let svg = svg(&Room::furnished(0), &trace);
        assert!(svg.contains("&lt;script&gt; &amp; co"));
        assert!(!svg.contains("<script"));
    }

    #[test]
    fn everything_in_the_room_is_drawn() {
        let room = Room::furnished(0);
        let svg = svg(&room, &Trace::default());
        let of = |class: &str| svg.matches(&format!("class=\"{class}\"")).count();
        // One more of each is in the legend.
        assert_eq!(of("thing"), room.furniture.len() + 1);
        assert_eq!(of("partition"), room.partitions.len() + 1);
    }
}
