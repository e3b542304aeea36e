//! The peer's messages, from the first byte until their end was sealed.

use std::time::Instant;

use super::{Kind, ids::IdTable, outbound::Outcome};
use crate::{
    error::SessionError,
    flow::Granting,
    frame::RouteFrame,
    ident::Name,
    limits::Limits,
    link::Assembly,
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

#[derive(Debug)]
pub(super) struct Inbound {
    /// By number; the peer uses low numbers first, but an urgent route may overtake an ordinary one.
    routes: Vec<Option<Box<InRoute>>>,
    windows: Vec<Option<Box<InWindow>>>,
    pub(super) owed: IdTable<Owed>,
    /// How many of them have not ended here.
    pub(super) unended: usize,
    messages: Granting,
    bytes: Granting,
    due: Vec<u32>,
    /// Ranges of messages that ran to their end, to be sealed.
    pub(super) done: Vec<(u64, u64)>,
    pub(super) assembly: Option<Assembly<Subject>>,
    max_routes: u32,
    per_target: u64,
    urgent_per_target: u64,
    payload_max: usize,
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
        }
    }

    /// The peer declares a route.
    pub(super) fn declare(&mut self, frame: RouteFrame) -> Result<(RouteNo, Route), SessionError> {
        let RouteFrame {
            number,
            window,
            route,
        } = frame;
        let bad = |why| SessionError::BadRoute {
            route: number.into(),
            why,
        };
        if number >= self.max_routes || window >= self.max_routes.saturating_mul(2) {
            return Err(bad("its number or its window's is beyond what was granted"));
        }
        let old = slot(&mut self.routes, number);
        if old.as_ref().is_some_and(|old| old.busy > 0) {
            return Err(bad("it has messages open"));
        }
        let generation = old.as_ref().map_or(0, |old| old.generation.wrapping_add(1));
        let account = slot(&mut self.windows, window).get_or_insert_with(|| {
            let bound = if route.urgent {
                self.urgent_per_target
            } else {
                self.per_target
            };
            Box::new(InWindow {
                account: Granting::new(bound),
                scope: route.scope.clone(),
                urgent: route.urgent,
                epoch: 0,
                busy: 0,
                due: false,
            })
        });
        if account.urgent != route.urgent {
            return Err(bad("its window is of another urgency"));
        }
        if account.scope != route.scope {
            if account.busy > 0 {
                return Err(bad("its window is in use for another target"));
            }
            account.scope = route.scope.clone();
            account.epoch = account.epoch.wrapping_add(1);
        }
        *old = Some(Box::new(InRoute {
            info: route.clone(),
            generation,
            counters: RouteCounters::default(),
            window,
            epoch: account.epoch,
            busy: 0,
        }));
        Ok((
            RouteNo {
                index: number,
                generation,
            },
            route,
        ))
    }

    /// A message that is arriving is given up: it counts as the peer counts it, which ends it too.
    pub(super) fn drop_partial(&mut self) {
        let is_message =
            |assembly: &mut Assembly<Subject>| matches!(assembly.subject, Subject::Message { .. });
        if let Some(assembly) = self.assembly.take_if(is_message)
            && let Subject::Message { id, .. } = assembly.subject
        {
            self.end(id, Outcome::Refused);
        }
    }

    /// The routes that the peer declared.
    pub(super) fn routes(&self) -> impl Iterator<Item = (RouteNo, &InRoute)> {
        (0..).zip(&self.routes).filter_map(|(index, route)| {
            let route = route.as_deref()?;
            Some((
                RouteNo {
                    index,
                    generation: route.generation,
                },
                route,
            ))
        })
    }

    /// Whether an open message's route is urgent.
    pub(super) fn is_urgent(&mut self, id: u64) -> bool {
        let route = self
            .owed
            .get_mut(id)
            .and_then(|owed| self.routes.get(owed.route as usize));
        route
            .and_then(Option::as_ref)
            .is_some_and(|route| route.info.urgent)
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
        if message.path.len() > crate::frame::Message::PATH_MAX {
            return Err(SessionError::Malformed {
                frame: "ask",
                why: "its path is too long",
            });
        }
        let unknown = || SessionError::UnknownRoute {
            route: message.route.into(),
        };
        let route = self.routes.get_mut(message.route as usize);
        let route = route.and_then(Option::as_mut).ok_or_else(unknown)?;
        let window = self.windows.get_mut(route.window as usize);
        let window = window.and_then(Option::as_mut).ok_or_else(unknown)?;
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
            self.unended -= 1;
            if let Some(Some(route)) = self.routes.get_mut(owed.route as usize) {
                outcome.count(&mut route.counters);
            }
        }
    }

    /// The connection is gone: no end of what is owed can be told any more.
    pub(super) fn cut(&mut self) {
        for owed in self.owed.values().filter(|owed| !owed.ended) {
            if let Some(Some(route)) = self.routes.get_mut(owed.route as usize) {
                Outcome::Failed.count(&mut route.counters);
            }
        }
        self.owed = IdTable::new();
        self.unended = 0;
    }

    /// The frame that ends the message was sealed, or is before any credit will be: its credit is
    /// free.
    pub(super) fn release(&mut self, id: u64) {
        let Some(owed) = self.owed.remove(id) else {
            return;
        };
        debug_assert!(owed.ended, "a message is released after its end");
        if let Some(Some(route)) = self.routes.get_mut(owed.route as usize) {
            route.busy -= 1;
        }
        if let Some(Some(window)) = self.windows.get_mut(owed.window as usize) {
            window.busy -= 1;
            window.account.end(1);
            if !window.due && window.account.is_due() {
                window.due = true;
                self.due.push(owed.window);
            }
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
            .filter_map(|number| {
                let window = windows.get_mut(number as usize)?.as_mut()?;
                window.due = false;
                Some((number, window.account.state()))
            })
            .collect()
    }
}

/// The slot of that number, which is below its bound.
fn slot<V>(slots: &mut Vec<Option<V>>, number: u32) -> &mut Option<V> {
    let index = number as usize;
    if index >= slots.len() {
        slots.resize_with(index + 1, || None);
    }
    &mut slots[index]
}
