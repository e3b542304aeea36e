//! The peer's messages, from the first byte until their end was sealed.

use std::time::Instant;

use bytes::BytesMut;

use super::{Kind, ids::IdTable, outbound::Outcome};
use crate::{
    error::SessionError,
    flow::Granting,
    frame::RouteFrame,
    ident::Name,
    limits::Limits,
    route::{Route, RouteCounters, RouteNo, Scope},
};

#[derive(Debug)]
pub(super) struct InRoute {
    pub(super) info: Route,
    pub(super) generation: u32,
    pub(super) counters: RouteCounters,
    window: u32,
    /// Of the window, when this was declared.
    epoch: u32,
    /// Messages whose end wasn't sealed.
    busy: u32,
}

#[derive(Debug)]
struct InWindow {
    account: Granting,
    scope: Scope,
    urgent: bool,
    /// Goes up when the window is given to another target.
    epoch: u32,
    busy: u32,
    /// It is in the list of windows that credit is due for.
    due: bool,
}

/// A message of the peer that is owed an end.
#[derive(Debug)]
pub(super) struct Owed {
    pub(super) kind: Kind,
    pub(super) route: u32,
    window: u32,
    charge: u64,
    /// The peer no longer waits for it.
    pub(super) cancelled: bool,
    /// It has ended here, what says so waits to be sealed.
    pub(super) ended: bool,
    /// Not all of it has arrived.
    pub(super) partial: bool,
}

/// What a long frame that is arriving is.
#[derive(Debug)]
pub(super) enum Subject {
    Message {
        id: u64,
        route: RouteNo,
        kind: Kind,
        deadline: Instant,
        path: Vec<Name>,
    },
    Reply {
        id: u64,
    },
}

/// A long frame that is arriving. Its memory grows with what arrived.
#[derive(Debug)]
pub(super) struct Assembly {
    pub(super) subject: Subject,
    pub(super) left: u64,
    pub(super) payload: BytesMut,
}

#[derive(Debug)]
pub(super) struct Inbound {
    pub(super) routes: Vec<InRoute>,
    windows: Vec<InWindow>,
    pub(super) owed: IdTable<Owed>,
    /// How many of them have not ended here.
    pub(super) unended: usize,
    messages: Granting,
    bytes: Granting,
    due: Vec<u32>,
    /// Ranges of messages that ran to their end, to be sealed.
    pub(super) done: Vec<(u64, u64)>,
    pub(super) assembly: Option<Assembly>,
    max_routes: u32,
    per_target: u64,
    urgent_per_target: u64,
    payload_max: usize,
    path_max: usize,
}

impl Inbound {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            routes: Vec::new(),
            windows: Vec::new(),
            owed: IdTable::new(),
            unended: 0,
            messages: Granting::new(limits.messages_per_connection.into()),
            bytes: Granting::new(limits.bytes_per_connection),
            due: Vec::new(),
            done: Vec::new(),
            assembly: None,
            max_routes: limits.routes,
            per_target: limits.messages_per_target.into(),
            urgent_per_target: limits.urgent_per_target.into(),
            payload_max: limits.payload,
            path_max: limits.path,
        }
    }

    /// The peer declares a route.
    pub(super) fn declare(&mut self, frame: RouteFrame) -> Result<(RouteNo, Route), SessionError> {
        let bad = |why| SessionError::BadRoute {
            route: frame.number.into(),
            why,
        };
        let index = frame.number as usize;
        if frame.number >= self.max_routes {
            return Err(bad("its number is beyond what was granted"));
        }
        if index > self.routes.len() || frame.window as usize > self.windows.len() {
            return Err(bad("a number was left out"));
        }
        if self.routes.get(index).is_some_and(|old| old.busy > 0) {
            return Err(bad("it has messages open"));
        }
        let Route { scope, urgent, .. } = &frame.route;
        if let Some(window) = self.windows.get_mut(frame.window as usize) {
            if window.urgent != *urgent {
                return Err(bad("its window is of another urgency"));
            }
            if window.scope != *scope {
                if window.busy > 0 {
                    return Err(bad("its window is in use for another target"));
                }
                window.scope = scope.clone();
                window.epoch = window.epoch.wrapping_add(1);
            }
        } else {
            let bound = if *urgent {
                self.urgent_per_target
            } else {
                self.per_target
            };
            self.windows.push(InWindow {
                account: Granting::new(bound),
                scope: scope.clone(),
                urgent: *urgent,
                epoch: 0,
                busy: 0,
                due: false,
            });
        }
        let generation = self
            .routes
            .get(index)
            .map_or(0, |old| old.generation.wrapping_add(1));
        let route = InRoute {
            info: frame.route.clone(),
            generation,
            counters: RouteCounters::default(),
            window: frame.window,
            epoch: self.windows[frame.window as usize].epoch,
            busy: 0,
        };
        if index == self.routes.len() {
            self.routes.push(route);
        } else {
            self.routes[index] = route;
        }
        Ok((
            RouteNo {
                index: frame.number,
                generation,
            },
            frame.route,
        ))
    }

    /// A message begins to arrive: it is charged, and owed an end from now on.
    pub(super) fn begin(
        &mut self,
        message: &crate::frame::Message,
        payload_len: u64,
        partial: bool,
    ) -> Result<(u64, RouteNo), SessionError> {
        let expected = self.owed.next() as u32;
        if message.id != expected {
            return Err(SessionError::MessageOutOfOrder {
                expected,
                found: message.id,
            });
        }
        if payload_len > self.payload_max as u64 {
            return Err(SessionError::PayloadTooLong {
                len: payload_len,
                max: self.payload_max,
            });
        }
        if message.path.len() > self.path_max {
            return Err(SessionError::Malformed {
                frame: "ask",
                why: "its path is too long",
            });
        }
        let Some(route) = self.routes.get_mut(message.route as usize) else {
            return Err(SessionError::UnknownRoute {
                route: message.route.into(),
            });
        };
        let window = &mut self.windows[route.window as usize];
        if window.epoch != route.epoch {
            let why = "its window was given to another target";
            return Err(SessionError::BadRoute {
                route: message.route.into(),
                why,
            });
        }
        let charge = payload_len + message.path_len as u64;
        window
            .account
            .take(1)
            .map_err(|granted| SessionError::WindowOverrun {
                scope: window.scope.to_string(),
                granted,
            })?;
        self.messages
            .take(1)
            .map_err(|granted| SessionError::MessagesOverrun { granted })?;
        self.bytes
            .take(charge)
            .map_err(|granted| SessionError::BytesOverrun { granted })?;
        window.busy += 1;
        route.busy += 1;
        route.counters.sent += 1;
        route.counters.open += 1;
        self.unended += 1;
        let number = RouteNo {
            index: message.route,
            generation: route.generation,
        };
        let id = self.owed.insert(Owed {
            kind: message.kind,
            route: message.route,
            window: route.window,
            charge,
            cancelled: false,
            ended: false,
            partial,
        });
        Ok((id, number))
    }

    /// The message has ended here; the frame that says so is still to be sealed.
    pub(super) fn end(&mut self, id: u64, outcome: Outcome) {
        if let Some(owed) = self.owed.get_mut(id)
            && !owed.ended
        {
            owed.ended = true;
            let route = owed.route as usize;
            self.unended -= 1;
            outcome.count(&mut self.routes[route].counters);
        }
    }

    /// The frame that ends the message was sealed, or is before any credit will be: its credit is
    /// free.
    pub(super) fn release(&mut self, id: u64) {
        let Some(owed) = self.owed.remove(id) else {
            return;
        };
        debug_assert!(owed.ended, "a message is released after its end");
        self.routes[owed.route as usize].busy -= 1;
        let window = &mut self.windows[owed.window as usize];
        window.busy -= 1;
        window.account.end(1);
        if !window.due && window.account.is_due() {
            window.due = true;
            self.due.push(owed.window);
        }
        self.messages.end(1);
        self.bytes.end(owed.charge);
    }

    /// The message, which has ended here, goes into the next `done` frame.
    pub(super) fn mark_done(&mut self, id: u64) {
        self.release(id);
        match self.done.last_mut() {
            Some((first, count)) if *first + *count == id => *count += 1,
            _ => self.done.push((id, 1)),
        }
    }

    pub(super) fn is_credit_due(&self) -> bool {
        !self.due.is_empty() || self.messages.is_due() || self.bytes.is_due()
    }

    /// The connection's totals to be stated.
    pub(super) fn state(&mut self) -> (u64, u64) {
        (self.messages.state(), self.bytes.state())
    }

    /// The totals of up to `max` windows that credit is due for.
    pub(super) fn state_windows(&mut self, max: usize) -> Vec<(u32, u64)> {
        let keep = self.due.len().saturating_sub(max);
        let windows = &mut self.windows;
        self.due
            .drain(keep..)
            .map(|number| {
                let window = &mut windows[number as usize];
                window.due = false;
                (number, window.account.state())
            })
            .collect()
    }
}
