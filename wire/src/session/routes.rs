//! The routes that we declare, their windows, and which of them to forget when there is no number left.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::{
    flow::Spending,
    handshake::PeerLimits,
    route::{Route, RouteCounters, RouteNo, Scope},
};

/// A route that has a number.
#[derive(Debug)]
pub(super) struct OutRoute {
    pub(super) info: Route,
    pub(super) generation: u32,
    pub(super) window: u32,
    /// Whether its frame was sealed; it is before the first message.
    pub(super) declared: bool,
    pub(super) counters: RouteCounters,
    /// Messages that wait or are open.
    pub(super) busy: u32,
    last_used: u64,
}

/// The account of one target and urgency.
#[derive(Debug)]
pub(super) struct OutWindow {
    pub(super) account: Spending,
    /// Whom it is for; none if it is spare.
    target: Option<(Scope, bool)>,
    /// How many routes draw on it.
    routes: u32,
    /// Someone ran short of it.
    pub(super) starved: bool,
    /// A long frame is on its way or waits: later messages wait behind it.
    pub(super) blocked: bool,
    /// The messages that do.
    pub(super) parked: VecDeque<u64>,
}

#[derive(Debug)]
pub(super) struct OutRoutes {
    pub(super) list: Vec<OutRoute>,
    pub(super) windows: Vec<OutWindow>,
    by_route: FxHashMap<Route, u32>,
    by_target: FxHashMap<(Scope, bool), u32>,
    /// Windows without routes: ordinary ones, urgent ones. With those in use they are at most twice
    /// as many as routes.
    spare: [Vec<u32>; 2],
    max: usize,
    per_target: [u64; 2],
    tick: u64,
}

impl OutRoutes {
    pub(super) fn new(peer: &PeerLimits) -> Self {
        Self {
            list: Vec::new(),
            windows: Vec::new(),
            by_route: FxHashMap::default(),
            by_target: FxHashMap::default(),
            spare: [Vec::new(), Vec::new()],
            max: peer.routes as usize,
            per_target: [
                peer.messages_per_target.into(),
                peer.urgent_per_target.into(),
            ],
            tick: 0,
        }
    }

    /// The route of that number, if it is still the same.
    pub(super) fn get(&self, number: RouteNo) -> Option<&OutRoute> {
        self.list
            .get(number.index())
            .filter(|route| route.generation == number.generation)
    }

    /// The same, to send on it.
    pub(super) fn use_route(&mut self, number: RouteNo) -> Option<(&mut OutRoute, &mut OutWindow)> {
        self.tick += 1;
        let route = self
            .list
            .get_mut(number.index())
            .filter(|route| route.generation == number.generation)?;
        route.last_used = self.tick;
        let window = &mut self.windows[route.window as usize];
        Some((route, window))
    }

    /// Finds the route or gives it a number; none if all numbers are in use.
    pub(super) fn number(&mut self, route: &Route) -> Option<RouteNo> {
        self.tick += 1;
        if let Some(&index) = self.by_route.get(route) {
            let found = &mut self.list[index as usize];
            found.last_used = self.tick;
            return Some(RouteNo {
                index,
                generation: found.generation,
            });
        }
        let index = if self.list.len() < self.max {
            self.list.len()
        } else {
            self.forget_idle()?
        };
        let window = self.window_for(route);
        let generation = self
            .list
            .get(index)
            .map_or(0, |old| old.generation.wrapping_add(1));
        let new = OutRoute {
            info: route.clone(),
            generation,
            window,
            declared: false,
            counters: RouteCounters::default(),
            busy: 0,
            last_used: self.tick,
        };
        if index == self.list.len() {
            self.list.push(new);
        } else {
            self.list[index] = new;
        }
        let index = u32::try_from(index).expect("there are at most as many routes as a u32 counts");
        self.by_route.insert(route.clone(), index);
        Some(RouteNo { index, generation })
    }

    /// Makes room by forgetting the route that was idle for longest.
    fn forget_idle(&mut self) -> Option<usize> {
        let (index, route) = self
            .list
            .iter()
            .enumerate()
            .filter(|(_, route)| route.busy == 0)
            .min_by_key(|(_, route)| route.last_used)?;
        self.by_route.remove(&route.info);
        let number = route.window;
        let window = &mut self.windows[number as usize];
        window.routes -= 1;
        if window.routes == 0
            && let Some(target) = window.target.take()
        {
            self.spare[usize::from(target.1)].push(number);
            self.by_target.remove(&target);
        }
        Some(index)
    }

    /// The window of the route's target, with one more route.
    fn window_for(&mut self, route: &Route) -> u32 {
        let target = (route.scope.clone(), route.urgent);
        let number = match self.by_target.get(&target) {
            Some(&number) => number,
            None => {
                let kind = usize::from(route.urgent);
                let number = self.spare[kind].pop().unwrap_or_else(|| {
                    self.windows.push(OutWindow {
                        account: Spending::new(self.per_target[kind]),
                        target: None,
                        routes: 0,
                        starved: false,
                        blocked: false,
                        parked: VecDeque::new(),
                    });
                    u32::try_from(self.windows.len() - 1)
                        .expect("there are at most as many as routes")
                });
                self.windows[number as usize].target = Some(target.clone());
                self.by_target.insert(target, number);
                number
            }
        };
        self.windows[number as usize].routes += 1;
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{encoding::Encoding, ident::Name, limits::Limits};

    fn route(to: &str, message: &str, urgent: bool) -> Route {
        Route {
            scope: Scope::Component(Name::new(to).unwrap()),
            sender: None,
            message: message.to_owned(),
            encoding: Encoding::Json,
            fingerprint: None,
            urgent,
        }
    }

    fn routes(max: u32) -> OutRoutes {
        let limits = Limits {
            routes: max,
            ..Limits::default()
        };
        OutRoutes::new(&PeerLimits::from(&limits))
    }

    #[test]
    fn routes_of_one_target_and_urgency_share_a_window() {
        let mut routes = routes(8);
        let numbers = [
            ("a", "M", false),
            ("a", "N", false),
            ("a", "M", true),
            ("b", "M", false),
        ]
        .map(|(to, message, urgent)| routes.number(&route(to, message, urgent)).unwrap());
        let windows = numbers.map(|number| routes.get(number).unwrap().window);
        assert_eq!(windows, [0, 0, 1, 2]);
        assert_eq!(routes.number(&route("a", "M", false)), Some(numbers[0]));
    }

    #[test]
    fn the_route_idle_for_longest_is_forgotten_and_its_number_is_stale() {
        let mut routes = routes(2);
        let a = routes.number(&route("a", "M", false)).unwrap();
        let b = routes.number(&route("b", "M", false)).unwrap();
        routes.use_route(a).unwrap();
        let c = routes.number(&route("c", "M", false)).unwrap();
        assert_eq!(c.index(), b.index());
        assert!(routes.get(b).is_none() && routes.get(a).is_some() && routes.get(c).is_some());
        assert_eq!(
            routes.get(c).unwrap().window,
            1,
            "the window without a route is used again"
        );
        routes.list[a.index()].busy = 1;
        routes.list[c.index()].busy = 1;
        assert_eq!(routes.number(&route("d", "M", false)), None, "none is idle");
    }
}
