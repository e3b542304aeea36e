//! What a process is for: the registry, or a node with components and its copy of the directory.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
    sync::{Arc, Mutex},
    time::Duration,
};

use botzilla::{
    Message,
    directory::{
        facts::{ComponentFacts, NodeFacts},
        messages::{
            Deregister, Register, RegisterReply, Removal, Resolve, ResolveReply, Watch, WatchReply,
        },
        own::{Own, Refused},
        replica::Replica,
    },
};
use botzilla_registry::{
    desk::{Desk, Reply},
    table::{Rules, Table},
};
use botzilla_wire::{
    Code, Failure, Limits,
    encoding::{Encoding, decode, encode},
    ident::{Name, NodeId},
    route::{Route, Scope},
    session::Kind,
};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    clock::{MS, Micros, SECOND},
    net::PipeId,
    process::{Env, Process, Target, Token},
};

/// A message that came: on which connection, and its number there.
pub(super) type Came = (PipeId, u64);

pub(super) enum Role {
    Registry(Box<RegistryRole>),
    Node(Box<NodeRole>),
}

pub(super) struct RegistryRole {
    pub(super) desk: Desk,
    answers: Arc<Mutex<Vec<(Came, Bytes)>>>,
    tick: Micros,
}

#[derive(Default)]
pub(super) struct NodeRole {
    pub(super) components: BTreeMap<String, Component>,
    pub(super) replica: Replica,
    own: Own,
    waiting: BTreeMap<String, tokio::sync::oneshot::Receiver<Result<(), Refused>>>,
    count: u64,
    ops: BTreeMap<u64, Op>,
    next_op: u64,
    /// In touch, or trying to be.
    spell: bool,
    watch: Option<u64>,
    tell: Option<u64>,
    /// The one that is under way waits for a decision: what is new goes first.
    tell_waits: bool,
    has_answered: bool,
    until: Micros,
    pause: Micros,
}

enum Op {
    Watch,
    Register(Register),
    Deregister(Vec<(Name, Removal)>),
}

#[derive(Default)]
pub(super) struct Component {
    pub(super) count: u64,
    urgent: VecDeque<Call>,
    ordinary: VecDeque<Call>,
    /// What runs, and until when.
    running: Option<(Micros, Call)>,
}

struct Call {
    came: Came,
    token: u64,
    deadline: Micros,
    is_cancelled: bool,
}

fn to_bytes<T: Serialize>(value: &T) -> Bytes {
    let mut bytes = Vec::new();
    encode(Encoding::Bincode, value, &mut bytes).unwrap();
    bytes.into()
}

fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> T {
    decode(Encoding::Bincode, bytes, &Limits::default()).expect("only what was sent arrives")
}

/// A message of the traffic: who it is, and bytes that all say so.
pub(super) fn payload(token: u64, len: usize) -> Bytes {
    let mut bytes = BytesMut::with_capacity(8 + len);
    bytes.put_u64(token);
    bytes.resize(8 + len, token as u8);
    bytes.freeze()
}

/// Whether bytes are a message's.
pub(super) fn is_of(token: u64, bytes: &[u8]) -> bool {
    // At once: an unoptimized loop over each byte takes longer than all the rest.
    vec![token as u8; bytes.len()] == bytes
}

impl RegistryRole {
    pub(super) fn new(env: &Env<'_>, epoch: u64) -> Self {
        let now = env.instant();
        let table = Table::new(Rules::default(), epoch, now);
        Self {
            desk: Desk::new(table, now),
            answers: Arc::default(),
            tick: env.now() + 100 * MS,
        }
    }

    fn reply<R: Serialize>(&self, came: Came) -> Reply<R> {
        let answers = Arc::clone(&self.answers);
        Box::new(move |answer| answers.lock().unwrap().push((came, to_bytes(&answer))))
    }
}

impl Process {
    fn node_role(&mut self) -> Option<&mut NodeRole> {
        match &mut self.role {
            Role::Node(role) => Some(role),
            Role::Registry(_) => None,
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        matches!(&self.role, Role::Node(role) if role.components.contains_key(name))
    }

    /// On which host a component is, and on which node, as far as is known here.
    pub(super) fn place_of(&self, name: &str) -> Option<(usize, NodeId)> {
        let Role::Node(role) = &self.role else {
            return None;
        };
        let place = &role.replica.get(name)?.place;
        let host = place.facts.endpoints.first()?.parse().ok()?;
        Some((host, place.id))
    }

    pub(super) fn role_next(&self) -> Option<Micros> {
        match &self.role {
            Role::Registry(role) => Some(role.tick),
            Role::Node(role) => {
                let running = role.components.values();
                let running = running.filter_map(|it| it.running.as_ref().map(|(at, _)| *at));
                running.chain((!role.spell).then_some(role.until)).min()
            }
        }
    }

    // ---- the registry ---------------------------------------------------------------------------

    fn serve(&mut self, env: &mut Env<'_>, came: Came, info: &Route, payload: &[u8]) {
        let (now, links) = (env.instant(), self.links());
        let links = |node: NodeId| links.get(&node).copied();
        let Some(from) = self.up(came.0).map(|up| up.peer) else {
            return;
        };
        let Role::Registry(role) = &mut self.role else {
            return;
        };
        match info.message.as_str() {
            Register::NAME => {
                let reply = role.reply::<RegisterReply>(came);
                role.desk
                    .register(now, &links, from, from_bytes(payload), reply);
            }
            Deregister::NAME => {
                role.desk
                    .deregister(now, &links, from, &from_bytes(payload));
                let reply = role.reply::<()>(came);
                reply(());
            }
            Watch::NAME => {
                let reply = role.reply::<WatchReply>(came);
                role.desk.watch(now, from, from_bytes(payload), reply);
            }
            Resolve::NAME => {
                let reply = role.reply::<ResolveReply>(came);
                role.desk.resolve(now, from_bytes(payload), reply);
            }
            other => panic!("nobody sends {other}"),
        }
    }

    // ---- both -----------------------------------------------------------------------------------

    /// A message came.
    pub(super) fn request(
        &mut self,
        env: &mut Env<'_>,
        came: Came,
        info: &Route,
        time_left: Micros,
        mut payload: Bytes,
    ) {
        if let Role::Registry(_) = self.role {
            return self.serve(env, came, info, &payload);
        }
        let Scope::Component(name) = &info.scope else {
            panic!("nobody broadcasts");
        };
        let token = payload.get_u64();
        assert!(is_of(token, &payload), "{token} arrived as something else");
        env.book
            .arrived(env.clock.now, token, self.id, name, time_left);
        let call = Call {
            came,
            token,
            deadline: env.now() + time_left,
            is_cancelled: false,
        };
        let role = self.node_role().expect("it isn't the registry");
        if let Some(component) = role.components.get_mut(name.as_str()) {
            let queue = if info.urgent {
                &mut component.urgent
            } else {
                &mut component.ordinary
            };
            queue.push_back(call);
        } else if let Some(up) = self.up(came.0) {
            let failure = Failure::refused(Code::NoSuchComponent, "");
            up.session.fail(came.1, failure);
        }
    }

    pub(super) fn cancelled(&mut self, came: Came) {
        let Some(role) = self.node_role() else { return };
        for component in role.components.values_mut() {
            let waiting = component.urgent.iter_mut().chain(&mut component.ordinary);
            for call in waiting.filter(|call| call.came == came) {
                call.is_cancelled = true;
            }
        }
    }

    /// A connection has ended: nobody waits for what came on it, and what hasn't begun never will.
    pub(super) fn disconnected(&mut self, pipe: PipeId, peer: &NodeId) {
        let Some(role) = self.node_role() else { return };
        for component in role.components.values_mut() {
            component.urgent.retain(|call| call.came.0 != pipe);
            component.ordinary.retain(|call| call.came.0 != pipe);
        }
        role.replica.link_lost(peer);
    }

    /// Whatever can be done without anything coming.
    pub(super) fn work(&mut self, env: &mut Env<'_>) {
        match &mut self.role {
            Role::Registry(_) => self.desk_works(env),
            Role::Node(_) => {
                self.client_works(env);
                self.components_work(env);
            }
        }
    }

    fn desk_works(&mut self, env: &mut Env<'_>) {
        let (now, links) = (env.instant(), self.links());
        let Role::Registry(role) = &mut self.role else {
            return;
        };
        if role.tick <= env.clock.now {
            role.tick = env.clock.now + 100 * MS;
            role.desk
                .tick(now, &|node: NodeId| links.get(&node).copied());
        }
        let answers = mem::take(&mut *role.answers.lock().unwrap());
        for ((pipe, id), answer) in answers {
            if let Some(up) = self.up(pipe) {
                up.session.reply(id, answer);
            }
        }
    }

    fn components_work(&mut self, env: &mut Env<'_>) {
        let role = self.node_role().expect("it has components");
        let mut components = mem::take(&mut role.components);
        for component in components.values_mut() {
            self.component_works(env, component);
        }
        self.node_role().expect("as before").components = components;
    }

    fn component_works(&mut self, env: &mut Env<'_>, component: &mut Component) {
        let now = env.now();
        loop {
            match component.running.take() {
                Some((until, call)) if until > now => {
                    component.running = Some((until, call));
                    return;
                }
                Some((_, call)) => self.answer(&call),
                None => {}
            }
            let next = component.urgent.pop_front();
            let Some(call) = next.or_else(|| component.ordinary.pop_front()) else {
                return;
            };
            let (pipe, id) = call.came;
            if call.is_cancelled || call.deadline <= now {
                if let Some(up) = self.up(pipe) {
                    up.session.fail(id, Failure::refused(Code::Expired, ""));
                }
                continue;
            }
            env.book.runs(now, call.token, self.id);
            let takes = if self.rng.percent(3) {
                self.rng.within(SECOND..4 * SECOND)
            } else {
                self.rng.within(0..30 * MS)
            };
            component.running = Some((now + takes, call));
        }
    }

    fn answer(&mut self, call: &Call) {
        let (how, len) = (self.rng.below(10), self.rng.of(&[0, 10, 2000, 100_000]));
        let (pipe, id) = call.came;
        let Some(up) = self.up(pipe) else { return };
        match how {
            0 => up
                .session
                .fail(id, Failure::failed(Code::Panicked, "as it happens")),
            1 => up.session.delivered(id),
            _ => {
                let reply = payload(call.token, len).slice(8..);
                up.session.reply(id, reply);
            }
        }
    }

    // ---- the node and the directory -------------------------------------------------------------

    fn facts(&self) -> NodeFacts {
        NodeFacts {
            id: self.node.to_string(),
            host: format!("host-{}", self.id.0),
            program: "simulated".to_owned(),
            pid: self.id.1,
            endpoints: vec![self.id.0.to_string()],
            port: 1,
        }
    }

    /// Begins a component, unless there is one of that name here.
    pub(super) fn spawn(&mut self, env: &mut Env<'_>, name: &str) {
        env.book
            .trace(env.clock.now, format_args!("{:?} spawns {name}", self.id));
        let Some(role) = self.node_role() else { return };
        if role.components.contains_key(name) {
            return;
        }
        role.count += 1;
        let component = Component {
            count: role.count,
            ..Component::default()
        };
        role.components.insert(name.to_owned(), component);
        let facts = ComponentFacts {
            name: name.to_owned(),
            count: role.count,
            ..ComponentFacts::default()
        };
        let decision = role.own.announce(&Name::new(name).unwrap(), facts);
        role.waiting.insert(name.to_owned(), decision);
        self.news(env);
    }

    /// Ends a component.
    pub(super) fn stop(&mut self, env: &mut Env<'_>, name: &str) {
        if !self.has(name) {
            return;
        }
        self.unhost(env, name);
        let role = self.node_role().expect("it has components");
        let name = Name::new(name).unwrap();
        role.own.withdraw(&name, Removal::Deregistered);
        self.news(env);
    }

    fn unhost(&mut self, env: &mut Env<'_>, name: &str) {
        env.book
            .trace(env.clock.now, format_args!("{:?} stops {name}", self.id));
        let role = self.node_role().expect("it has components");
        role.waiting.remove(name);
        let Some(mut component) = role.components.remove(name) else {
            return;
        };
        if let Some((_, call)) = component.running.take()
            && let Some(up) = self.up(call.came.0)
        {
            let failure = Failure::failed(Code::Stopped, "");
            up.session.fail(call.came.1, failure);
        }
        for call in component.urgent.into_iter().chain(component.ordinary) {
            if let Some(up) = self.up(call.came.0) {
                let failure = Failure::refused(Code::Stopped, "");
                up.session.fail(call.came.1, failure);
            }
        }
    }

    /// There is something to be told: it doesn't wait behind what waits already.
    fn news(&mut self, env: &mut Env<'_>) {
        let role = self.node_role().expect("it is a node");
        if role.tell_waits
            && let Some(op) = role.tell.take()
        {
            role.tell_waits = false;
            role.ops.remove(&op);
            self.cancel(Token::Directory(op));
        }
        self.pump(env);
    }

    fn ask<M: Message + Serialize>(&mut self, env: &Env<'_>, msg: &M, op: Op, wait: Micros) -> u64 {
        let role = self.node_role().expect("it is a node");
        role.next_op += 1;
        let number = role.next_op;
        role.ops.insert(number, op);
        self.send(
            Token::Directory(number),
            Target::Registry,
            (M::NAME, false),
            Kind::Ask,
            env.clock.now + 5 * SECOND + wait,
            to_bytes(msg),
        );
        number
    }

    fn client_works(&mut self, env: &mut Env<'_>) {
        let (id, facts, now) = (self.node, self.facts(), env.instant());
        let role = self.node_role().expect("it is a node");
        // Who was refused his name has no component.
        let mut ended = Vec::new();
        role.waiting
            .retain(|name, decision| match decision.try_recv() {
                Ok(Err(_)) => {
                    ended.push(name.clone());
                    false
                }
                Ok(Ok(())) => false,
                Err(_) => true,
            });
        for name in ended {
            self.unhost(env, &name);
        }
        let role = self.node_role().expect("it is a node");
        let begins = !role.spell && role.until <= env.clock.now;
        if begins {
            role.spell = true;
            role.has_answered = false;
            role.own.begin();
            let whole = role.own.whole(facts.clone(), now);
            let tell = self.ask(env, &whole, Op::Register(whole.clone()), 0);
            let role = self.node_role().expect("it is a node");
            (role.tell, role.tell_waits) = (Some(tell), false);
        }
        let role = self.node_role().expect("it is a node");
        if !role.spell {
            return;
        }
        if role.watch.is_none() {
            let watch = role.replica.next_watch(Duration::from_secs(20));
            let wait = watch.wait_ms * MS;
            let watch = self.ask(env, &watch, Op::Watch, wait);
            self.node_role().expect("it is a node").watch = Some(watch);
        }
        let role = self.node_role().expect("it is a node");
        if role.tell.is_some() {
            return;
        }
        let withdrawn = role.own.withdrawn().to_vec();
        if !withdrawn.is_empty() {
            let msg = Deregister {
                node: id.to_string(),
                names: withdrawn.iter().map(|(name, _)| name.to_string()).collect(),
                failed: Vec::new(),
            };
            let tell = self.ask(env, &msg, Op::Deregister(withdrawn), 0);
            self.node_role().expect("it is a node").tell = Some(tell);
        } else if role.own.has_news() {
            let msg = role.own.undecided(facts, now, 4000);
            let wait = msg.wait_ms * MS;
            let tell = self.ask(env, &msg, Op::Register(msg.clone()), wait);
            let role = self.node_role().expect("it is a node");
            (role.tell, role.tell_waits) = (Some(tell), wait > 0);
        }
    }

    /// The registry has answered, or not.
    pub(super) fn directory_done(&mut self, env: &mut Env<'_>, number: u64, reply: Option<Bytes>) {
        let (us, now) = (self.node, env.instant());
        let connected: BTreeSet<NodeId> = {
            let links = self.links();
            let up = links.into_iter().filter(|(_, link)| link.connected);
            up.map(|(node, _)| node).collect()
        };
        let role = self.node_role().expect("it is a node");
        let Some(op) = role.ops.remove(&number) else {
            return;
        };
        let mut lost: Vec<(Name, Refused)> = Vec::new();
        let is_good = match (op, reply) {
            (Op::Watch, Some(bytes)) => {
                role.watch = None;
                let reply: WatchReply = from_bytes(&bytes);
                let is_same = role.own.heard_from(&reply.epoch, reply.recovering, now);
                is_same
                    && match role.replica.apply(reply, |node| connected.contains(node)) {
                        Ok(applied) => {
                            lost = role.own.compare(us, &role.replica, &applied.changed);
                            true
                        }
                        Err(_) => false,
                    }
            }
            (Op::Register(sent), Some(bytes)) => {
                role.tell = None;
                let reply: RegisterReply = from_bytes(&bytes);
                let is_same = role.own.heard_from(&reply.epoch, reply.recovering, now);
                if is_same {
                    lost = role.own.registered(&sent, reply, now);
                }
                is_same
            }
            (Op::Deregister(told), Some(_)) => {
                role.tell = None;
                role.own.told_withdrawn(&told);
                true
            }
            (_, None) => false,
        };
        if is_good {
            role.has_answered = true;
        } else {
            self.spell_ends(env);
        }
        for (name, _) in lost {
            self.unhost(env, &name);
        }
    }

    /// Out of touch: it begins anew after a pause.
    fn spell_ends(&mut self, env: &Env<'_>) {
        let jitter = self.rng.within(50..100);
        let role = self.node_role().expect("it is a node");
        if role.has_answered || role.pause == 0 {
            role.pause = 100 * MS;
        }
        role.until = env.clock.now + role.pause * jitter / 100;
        role.pause = (role.pause * 2).min(2 * SECOND);
        role.spell = false;
        (role.watch, role.tell, role.tell_waits) = (None, None, false);
        let ops = mem::take(&mut role.ops);
        for number in ops.into_keys() {
            self.cancel(Token::Directory(number));
        }
    }
}
