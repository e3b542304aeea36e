//! A process: its connections, what it has to send, and its role. As the runtime does it, without
//! sockets: which of two connections is kept, who is dialled when, what ends with a connection.

mod dialling;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Instant,
};

use botzilla_wire::{
    code::CloseReason,
    encoding::Encoding,
    handshake::{Acceptor, Cipher, Dialler, Local, Mode},
    ident::{ConnectionId, Name, NodeId},
    output::Output,
    route::{Route, Scope},
    secret::Secret,
    session::{Event, Kind, Send, Session, Short},
};
use bytes::{Buf, Bytes, BytesMut};

use super::{
    book::{Book, Counted, Outcome, ProcessId},
    clock::{Clock, MS, Micros, SECOND},
    net::{HOSTS, Net, PipeId},
    rng::Rng,
    role::{Role, is_of},
};

/// What a process may touch besides itself.
pub(super) struct Env<'a> {
    pub(super) clock: Clock,
    pub(super) net: &'a mut Net,
    pub(super) book: &'a mut Book,
}

impl Env<'_> {
    pub(super) fn now(&self) -> Micros {
        self.clock.now
    }

    pub(super) fn instant(&self) -> Instant {
        self.clock.instant()
    }
}

/// A message of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Token {
    /// One that the book knows.
    Traffic(u64),
    /// One to the registry.
    Directory(u64),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    Registry,
    Component(String),
}

#[derive(Debug)]
struct Outgoing {
    target: Target,
    route: Route,
    kind: Kind,
    deadline: Micros,
    payload: Bytes,
    /// Once a session has taken it.
    taken: Option<(PipeId, u64)>,
}

struct Conn {
    /// Which end of it we are.
    end: usize,
    input: BytesMut,
    /// The network has changed what came here.
    tainted: bool,
    state: State,
}

enum State {
    Dialling {
        to: usize,
        expect: Option<NodeId>,
        until: Micros,
    },
    Proving {
        to: usize,
        expect: Option<NodeId>,
        dialler: Box<Dialler>,
        said: u32,
    },
    Accepting(Box<Acceptor>),
    Up(Box<Up>),
}

pub(super) struct Up {
    pub(super) session: Session<Token>,
    pub(super) peer: NodeId,
    connection: ConnectionId,
    dialled: bool,
    routes: Vec<Option<Route>>,
    /// It takes messages.
    is_open: bool,
    closing: Option<Micros>,
    closed_by_peer: bool,
    in_peace: bool,
    timeout_after: Micros,
}

pub(super) struct Process {
    pub(super) id: ProcessId,
    pub(super) node: NodeId,
    /// Since when it hasn't stood still.
    pub(super) awake: Micros,
    pub(super) rng: Rng,
    pub(super) role: Role,
    local: Local,
    conns: BTreeMap<PipeId, Conn>,
    current: BTreeMap<NodeId, PipeId>,
    last: BTreeMap<NodeId, (ConnectionId, Instant)>,
    found: [Option<NodeId>; HOSTS],
    dial_after: [Micros; HOSTS],
    failures: [u32; HOSTS],
    outgoing: BTreeMap<Token, Outgoing>,
    lines: BTreeMap<(Target, bool), VecDeque<Token>>,
    deadlines: BTreeSet<(Micros, Token)>,
}

/// Of TCP's own handshake.
const CONNECT_TIME: Micros = SECOND;

impl Process {
    pub(super) fn new(id: ProcessId, mut rng: Rng, is_noise: bool, role: Role) -> Self {
        let node = NodeId(rng.bytes());
        let secret = Secret::from_bytes("simulated", [7; 32]).unwrap();
        let mut local = Local::new(node, vec![secret]);
        // The same on every machine.
        local.ciphers = vec![Cipher::ChaChaPoly];
        if is_noise {
            local.modes = vec![Mode::Noise];
        }
        // Small enough to be used up.
        local.limits.messages_per_target = 4;
        local.limits.messages_per_connection = 8;
        local.limits.payload = 512 * 1024;
        local.limits.bytes_per_connection = 1024 * 1024;
        Self {
            id,
            node,
            awake: 0,
            rng,
            role,
            local,
            conns: BTreeMap::new(),
            current: BTreeMap::new(),
            last: BTreeMap::new(),
            found: [None; HOSTS],
            dial_after: [0; HOSTS],
            failures: [0; HOSTS],
            outgoing: BTreeMap::new(),
            lines: BTreeMap::new(),
            deadlines: BTreeSet::new(),
        }
    }

    // ---- sending --------------------------------------------------------------------------------

    /// Has something sent, when there is a connection and credit, in order.
    pub(super) fn send(
        &mut self,
        token: Token,
        target: Target,
        (message, urgent): (&str, bool),
        kind: Kind,
        deadline: Micros,
        payload: Bytes,
    ) {
        let name = match &target {
            Target::Registry => "registry",
            Target::Component(name) => name,
        };
        let route = Route {
            scope: Scope::Component(Name::new(name).unwrap()),
            sender: None,
            message: message.to_owned(),
            encoding: Encoding::Bincode,
            fingerprint: None,
            urgent,
        };
        let line = (target.clone(), urgent);
        self.lines.entry(line).or_default().push_back(token);
        self.deadlines.insert((deadline, token));
        self.outgoing.insert(
            token,
            Outgoing {
                target,
                route,
                kind,
                deadline,
                payload,
                taken: None,
            },
        );
    }

    /// Nobody waits for it any more. Whether it may run or have run.
    pub(super) fn cancel(&mut self, token: Token) -> Option<bool> {
        let out = self.forget(token)?;
        let Some((pipe, handle)) = out.taken else {
            return Some(false);
        };
        let up = self.up(pipe)?;
        Some(up.session.cancel(handle).is_none())
    }

    pub(super) fn some_open(&mut self) -> Option<Token> {
        let open: Vec<Token> = self.outgoing.keys().copied().collect();
        let open: Vec<Token> = open
            .into_iter()
            .filter(|token| matches!(token, Token::Traffic(_)))
            .collect();
        (!open.is_empty()).then(|| open[self.rng.below(open.len())])
    }

    fn forget(&mut self, token: Token) -> Option<Outgoing> {
        let out = self.outgoing.remove(&token)?;
        self.deadlines.remove(&(out.deadline, token));
        let line = (out.target.clone(), out.route.urgent);
        if let Some(line) = self.lines.get_mut(&line) {
            line.retain(|other| *other != token);
        }
        Some(out)
    }

    /// It has come to its end.
    fn ended(&mut self, env: &mut Env<'_>, token: Token, outcome: Result<Bytes, bool>) {
        if self.forget(token).is_none() {
            // What was cancelled isn't reported, and nothing is twice.
            panic!("{token:?} ended, and was not open");
        }
        match token {
            Token::Traffic(number) => {
                let outcome = match outcome {
                    Ok(payload) => {
                        assert!(
                            is_of(number, &payload),
                            "{number} was answered by another's reply"
                        );
                        Outcome::Good
                    }
                    Err(may_have_run) => Outcome::Bad { may_have_run },
                };
                env.book.ended(env.clock.now, self.awake, number, outcome);
            }
            Token::Directory(number) => self.directory_done(env, number, outcome.ok()),
        }
    }

    fn flush(&mut self, env: &mut Env<'_>) {
        let lines: Vec<(Target, bool)> = self.lines.keys().cloned().collect();
        for line in lines {
            while let Some(token) = self.lines.get(&line).and_then(|it| it.front()).copied() {
                let (host, peer) = match &line.0 {
                    Target::Registry => (0, self.found[0]),
                    Target::Component(name) => match self.place_of(name) {
                        Some((host, peer)) if host != self.id.0 => (host, Some(peer)),
                        // Nobody has it, or it is at home, which is no matter of this test: or was, in
                        // the life before, and then nobody but itself would answer the dial.
                        _ => {
                            self.ended(env, token, Err(false));
                            continue;
                        }
                    },
                };
                let pipe = peer.and_then(|peer| self.current.get(&peer)).copied();
                let is_open = pipe.is_some_and(|pipe| self.up(pipe).is_some_and(|up| up.is_open));
                let Some(pipe) = pipe.filter(|_| is_open) else {
                    let expect = (host > 0).then_some(peer).flatten();
                    self.dial(env, host, expect);
                    break;
                };
                let deadline = env.clock.instant_of(self.outgoing[&token].deadline);
                let out = &self.outgoing[&token];
                let (info, kind, payload) = (out.route.clone(), out.kind, out.payload.clone());
                let session = &mut self.up(pipe).expect("it was looked at above").session;
                let Some(route) = session.route(&info) else {
                    break;
                };
                let send = Send {
                    route,
                    kind,
                    deadline,
                    path: &[],
                    payload,
                };
                match session.try_send(send, token) {
                    Ok(handle) => {
                        let out = self.outgoing.get_mut(&token).expect("it is open");
                        out.taken = Some((pipe, handle));
                        self.lines.get_mut(&line).expect("it is in it").pop_front();
                    }
                    Err((_, Short::TooLarge { .. })) => self.ended(env, token, Err(false)),
                    // Credit will come, or another connection.
                    Err(_) => break,
                }
            }
        }
        self.lines.retain(|_, line| !line.is_empty());
    }

    // ---- connections ----------------------------------------------------------------------------

    fn receive(&mut self, env: &mut Env<'_>, pipe: PipeId, was_tainted: bool) {
        let now = env.instant();
        let Some(conn) = self.conns.get_mut(&pipe) else {
            return;
        };
        let State::Up(up) = &mut conn.state else {
            return;
        };
        if up.closed_by_peer {
            return;
        }
        let mut events = Vec::new();
        let received = up.session.receive(now, &mut conn.input, &mut events);
        assert!(
            !was_tainted || events.is_empty(),
            "what came after bytes that were changed was taken for {events:?}"
        );
        let failed = received.is_err();
        for event in events {
            // What came before the end counts, but no request that hadn't begun.
            if !(failed && matches!(event, Event::Request { .. } | Event::Cancelled { .. })) {
                self.event(env, pipe, event);
            }
        }
        if failed {
            let conn = self.conns.get_mut(&pipe);
            if let Some(Conn {
                end,
                state: State::Up(up),
                ..
            }) = conn
            {
                let mut last_word = Output::new();
                up.session.poll_transmit(now, &mut last_word);
                let bytes = last_word.copy_to_bytes(last_word.remaining());
                let end = *end;
                if !bytes.is_empty() {
                    env.net.send(env.clock.now, pipe, end, bytes.to_vec());
                }
            }
            self.end(env, pipe, "it broke the rules");
        }
    }

    fn event(&mut self, env: &mut Env<'_>, pipe: PipeId, event: Event<Token>) {
        match event {
            Event::Routed { route, info } => {
                let Some(up) = self.up(pipe) else { return };
                let index = route.index();
                if up.routes.len() <= index {
                    up.routes.resize_with(index + 1, || None);
                }
                up.routes[index] = Some(info);
            }
            Event::Request {
                id,
                route,
                time_left,
                payload,
                ..
            } => {
                let Some(up) = self.up(pipe) else { return };
                let info = up.routes[route.index()].clone();
                let info = info.expect("a route is told before it is used");
                let left = u64::try_from(time_left.as_micros()).unwrap_or(u64::MAX);
                self.request(env, (pipe, id), &info, left, payload);
            }
            Event::Replied { token, payload } => self.ended(env, token, Ok(payload)),
            Event::Delivered { token } => self.ended(env, token, Ok(Bytes::new())),
            Event::Failed { token, failure } => self.ended(env, token, Err(failure.may_have_run)),
            Event::Cancelled { id } => self.cancelled((pipe, id)),
            Event::Closed { reason, .. } => {
                if let Some(up) = self.up(pipe) {
                    (up.is_open, up.closed_by_peer) = (false, true);
                    // Of one that failed only the last record's fate is unknown.
                    up.in_peace = reason != CloseReason::Violation;
                }
            }
            _ => {}
        }
    }

    /// Closes a connection in peace.
    pub(super) fn close_one(&mut self, env: &mut Env<'_>) {
        let open: Vec<PipeId> = self.current.values().copied().collect();
        if open.is_empty() {
            return;
        }
        let pipe = open[self.rng.below(open.len())];
        let now = env.now();
        if let Some(up) = self.up(pipe)
            && up.closing.is_none()
        {
            up.session.close(CloseReason::Stopping);
            (up.is_open, up.closing) = (false, Some(now));
        }
        self.pump(env);
    }

    fn end(&mut self, env: &mut Env<'_>, pipe: PipeId, why: &str) {
        let Some(conn) = self.conns.remove(&pipe) else {
            return;
        };
        env.net.close(env.clock.now, pipe, conn.end);
        let State::Up(mut up) = conn.state else {
            return;
        };
        let mut counted = Counted {
            outbound: [0; 5],
            inbound: [0; 5],
            is_clean: up.in_peace && up.session.is_closed(),
        };
        let session = &up.session;
        for (_, _, it) in session.outbound_routes() {
            let counts = [it.sent, it.delivered, it.refused, it.failed, it.open];
            counted
                .outbound
                .iter_mut()
                .zip(counts)
                .for_each(|(sum, it)| *sum += it);
        }
        for (_, _, it) in session.inbound_routes() {
            let counts = [it.sent, it.delivered, it.refused, it.failed, it.open];
            counted
                .inbound
                .iter_mut()
                .zip(counts)
                .for_each(|(sum, it)| *sum += it);
        }
        env.book.trace(
            env.clock.now,
            format_args!("{:?} lost {pipe}: {why} {counted:?}", self.id),
        );
        env.book.disconnected(&up.connection.0, counted);
        self.last
            .insert(up.peer, (up.connection, up.session.last_received()));
        if self.current.get(&up.peer) == Some(&pipe) {
            self.current.remove(&up.peer);
        }
        for (token, may_have_run, _) in up.session.end() {
            if let Token::Traffic(number) = token
                && counted.is_clean
            {
                env.book.closed_over(number, may_have_run);
            }
            // The end of one may have others given up.
            if self.outgoing.contains_key(&token) {
                self.ended(env, token, Err(may_have_run));
            }
        }
        self.disconnected(pipe, &up.peer);
    }

    /// Does all that can be done now.
    pub(super) fn pump(&mut self, env: &mut Env<'_>) {
        let now = env.instant();
        self.work(env);
        self.flush(env);
        let pipes: Vec<PipeId> = self.conns.keys().copied().collect();
        for pipe in pipes {
            let Some(conn) = self.conns.get_mut(&pipe) else {
                continue;
            };
            let (end, State::Up(up)) = (conn.end, &mut conn.state) else {
                continue;
            };
            if up.session.wants_transmit() {
                let mut out = Output::new();
                while up.session.poll_transmit(now, &mut out) {}
                let bytes = out.copy_to_bytes(out.remaining());
                if !bytes.is_empty() {
                    env.net.send(env.clock.now, pipe, end, bytes.to_vec());
                }
            }
            let is_over = up.closed_by_peer || up.session.is_closed();
            if is_over {
                self.end(env, pipe, "it was closed");
            }
        }
    }

    // ---- time -----------------------------------------------------------------------------------

    /// When something is due, if nothing happens before.
    pub(super) fn next(&self, clock: &Clock) -> Micros {
        let conns = self.conns.values().map(|conn| match &conn.state {
            State::Dialling { until, .. } => *until,
            State::Proving { dialler, .. } => clock.of(dialler.deadline()),
            State::Accepting(acceptor) => clock.of(acceptor.deadline()),
            State::Up(up) => {
                let timeout = clock.of(up.session.poll_timeout()).max(up.timeout_after);
                up.closing
                    .map_or(timeout, |since| timeout.min(since + 3 * SECOND))
            }
        });
        let dials = self.lines.keys().map(|(target, _)| match target {
            Target::Registry => self.dial_after[0],
            Target::Component(name) => self
                .place_of(name)
                .map_or(0, |(host, _)| self.dial_after[host]),
        });
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        conns
            .chain(dials.filter(|at| *at > clock.now))
            .chain(deadline)
            .chain(self.role_next())
            .min()
            .unwrap_or(Micros::MAX)
            .max(clock.now + 1)
    }

    pub(super) fn wake(&mut self, env: &mut Env<'_>) {
        let now = env.now();
        let pipes: Vec<PipeId> = self.conns.keys().copied().collect();
        for pipe in pipes {
            let Some(conn) = self.conns.get_mut(&pipe) else {
                continue;
            };
            match &mut conn.state {
                State::Dialling { until, .. } if *until <= now => self.dial_failed(env, pipe),
                State::Proving { dialler, .. } if env.clock.of(dialler.deadline()) <= now => {
                    self.dial_failed(env, pipe);
                }
                State::Accepting(acceptor) if env.clock.of(acceptor.deadline()) <= now => {
                    self.lost(env, pipe);
                }
                State::Up(up) => {
                    if up.closing.is_some_and(|since| since + 3 * SECOND <= now) {
                        self.end(env, pipe, "its close was not answered");
                    } else if env.clock.of(up.session.poll_timeout()) <= now {
                        up.timeout_after = now + 5 * MS;
                        if up.session.handle_timeout(env.clock.instant()).is_err() {
                            self.end(env, pipe, "it is silent");
                        }
                    }
                }
                _ => {}
            }
        }
        while let Some((at, token)) = self.deadlines.first().copied()
            && at <= now
        {
            let taken = self.outgoing[&token].taken;
            let may_have_run = match taken.and_then(|(pipe, handle)| Some((self.up(pipe)?, handle)))
            {
                Some((up, handle)) => up.session.cancel(handle).is_none(),
                None => false,
            };
            self.ended(env, token, Err(may_have_run));
        }
        self.pump(env);
    }
}
