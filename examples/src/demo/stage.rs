//! What the demo needs around the ride: registry, nodes, and their end.

use std::time::Duration;

use botzilla::Node;

use super::meter::Meter;
use super::ride::{Ride, ask};
use super::{COMPONENTS, DemoError, DemoOptions, Event, Report};
use crate::geometry::Point;
use crate::picture::Trace;
use crate::robot;
use crate::robot::messages::{
    FloorMap, GetCharge, GetLatency, GetMap, GetSight, GetStreams, Odometry,
};
use crate::setup::Embedded;
use crate::sim::Chassis;

/// Registry and nodes, as far as they were started.
#[derive(Debug, Default)]
pub(super) struct Stage {
    registry: Option<Embedded>,
    nodes: Vec<Node>,
    last: Odometry,
}

impl Stage {
    pub(super) async fn start(
        &mut self,
        options: &DemoOptions,
        on: &mut dyn FnMut(Event),
    ) -> Result<(), DemoError> {
        let registry = Embedded::start().await;
        let registry = registry.map_err(DemoError::runtime("starting the registry"))?;
        let address = registry.address();
        on(Event::Registry { address });
        let registry = self.registry.insert(registry);
        for component in COMPONENTS {
            let doing = || DemoError::runtime(format!("starting {component}"));
            let node = registry.node().await.map_err(doing())?;
            self.nodes.push(node.clone());
            let spawned = robot::spawn(&node, component, &options.robot).await;
            spawned.map_err(doing())?;
            on(Event::Started { component });
        }
        Ok(())
    }

    pub(super) async fn ride(
        &mut self,
        options: &DemoOptions,
        on: &mut dyn FnMut(Event),
    ) -> Result<(Report, Trace), DemoError> {
        let Some(registry) = &self.registry else {
            return Ok(Default::default());
        };
        // Whoever watches has a node of their own, as `botzilla call` in another terminal would.
        let console = registry.node().await;
        let console = console.map_err(DemoError::runtime("starting the console"))?;
        self.nodes.push(console.clone());

        let meter = Meter::subscribe(&console).await;
        let mut meter = meter.map_err(DemoError::runtime("subscribing to the streams"))?;
        let mut ride = Ride::new(&console, options, &mut self.last, on);
        let arrived = tokio::select! {
            arrived = ride.go() => arrived?.odometry,
            never = meter.listen() => match never {},
        };
        let Ride { driven, stops, .. } = ride;

        let planner = console.component("planner");
        let map = ask(&planner, GetMap {}).await?;
        let latency = ask(&planner, GetLatency {}).await?;
        let charge = ask(&console.component("battery"), GetCharge {}).await?;
        let watcher = console.component("watcher");
        let sight = ask(&watcher, GetSight {}).await?;
        let mut streams = meter.counts();
        streams.extend(ask(&planner, GetStreams {}).await?);
        streams.extend(ask(&watcher, GetStreams {}).await?);
        // One line for each: a stream, then who subscribed to it.
        streams.sort_by(|a, b| (&a.stream, &a.subscriber).cmp(&(&b.stream, &b.subscriber)));
        let goal = options.robot.room.goal;
        let (poses, stops) = stops.into_iter().unzip();
        let report = Report {
            path_m: arrived.driven_m,
            off_goal_m: goal.distance(arrived.at.into()),
            simulated_s: arrived.time_s,
            plans: map.plans.len() as u64,
            bumps: arrived.bumps,
            stops,
            battery_percent: charge.percent,
            messages: self.messages(),
            latency,
            streams,
            sight,
            ..Report::default()
        };
        let trace = Trace {
            driven,
            stops: poses,
            end: arrived.pose(),
            radius: Chassis::default().radius,
            ..trace(map)
        };
        Ok((report, trace))
    }

    /// What was last known of the robot, for whoever asks why it isn't there.
    pub(super) fn last_known(&self) -> String {
        let Odometry {
            at,
            driven_m,
            stopped,
            ..
        } = &self.last;
        if self.nodes.len() <= COMPONENTS.len() {
            let up: Vec<_> = COMPONENTS.iter().take(self.nodes.len()).copied().collect();
            return format!("still starting (so far: {})", up.join(", "));
        }
        let held = if *stopped {
            ", held by an emergency stop"
        } else {
            ""
        };
        format!(
            "it was at ({:.2}, {:.2}) after {driven_m:.1} m{held}",
            at.x_m, at.y_m
        )
    }

    /// Messages from component to component that went over TCP, counted where they were sent.
    fn messages(&self) -> u64 {
        let routes = self.nodes.iter().flat_map(Node::counters);
        let ours = routes.filter(|route| route.outbound && !is_of_the_runtime(&route.target));
        ours.map(|route| route.counters.sent).sum()
    }

    pub(super) async fn shut_down(&mut self) {
        // The desk first: it is the one that would ask again when others go.
        while let Some(node) = self.nodes.pop() {
            node.shutdown(Duration::from_millis(300)).await;
        }
        if let Some(registry) = self.registry.take() {
            registry.shut_down().await;
        }
    }
}

fn is_of_the_runtime(target: &str) -> bool {
    target == "registry" || target.starts_with("node/") || target.starts_with('_')
}

fn trace(map: FloorMap) -> Trace {
    let points = |places: Vec<_>| -> Vec<Point> { places.into_iter().map(Point::from).collect() };
    Trace {
        seen: points(map.occupied),
        plans: map.plans.into_iter().map(points).collect(),
        cell: map.cell_m,
        ..Trace::default()
    }
}
