//! One run: three nodes and a registry, what goes wrong, and what must hold in the end.

use std::{cmp::Reverse, collections::BinaryHeap, fmt::Write as _};

use botzilla_registry::store::Store;
use botzilla_wire::session::Kind;

use super::{
    book::{Book, Outcome, STALL_MAX},
    clock::{Clock, MS, Micros, SECOND},
    net::{Due, HOSTS, Net, Tamper},
    process::{Env, Process, Target, Token},
    rng::Rng,
    role::{NodeRole, RegistryRole, Role, payload},
};

/// For so long things go wrong.
const TROUBLE: Micros = 20 * SECOND;
/// After that all is found again: a lease, a registry's recovery, the longest pause.
const QUIET: Micros = 40 * SECOND;
const GOODBYE: Micros = 8 * SECOND;

/// Names that several nodes want.
const WANTED: [&str; 2] = ["arm", "drive"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Net(Due),
    Wake(usize, u32),
    Traffic,
    Trouble,
    Resume(usize),
    Restart(usize),
    Heal,
    Calm,
    Goodbyes,
    End,
}

/// What a run comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) hash: u64,
    pub(super) messages: usize,
    pub(super) good: usize,
    pub(super) clean: u64,
    pub(super) cut: u64,
    pub(super) tampered: u64,
}

pub(super) struct World {
    clock: Clock,
    rng: Rng,
    net: Net,
    book: Book,
    steps: BinaryHeap<Reverse<(Micros, u64, Step)>>,
    sequence: u64,
    processes: [Option<Process>; HOSTS],
    lives: [u32; HOSTS],
    /// Stands still until then.
    stalled: [Micros; HOSTS],
    /// When each is woken next.
    wakes: [Micros; HOSTS],
    is_hostile: bool,
    is_noise: bool,
    is_calm: bool,
}

impl World {
    pub(super) fn new(seed: u64, prints: bool) -> Self {
        let mut rng = Rng::new(seed);
        let net = Net::new(rng.fork());
        let mut world = Self {
            clock: Clock::new(),
            is_hostile: rng.percent(40),
            is_noise: rng.percent(4),
            rng,
            net,
            book: Book::default(),
            steps: BinaryHeap::new(),
            sequence: 0,
            processes: [const { None }; HOSTS],
            lives: [0; HOSTS],
            stalled: [0; HOSTS],
            wakes: [Micros::MAX; HOSTS],
            is_calm: false,
        };
        world.book.prints = prints;
        world
    }

    pub(super) fn run(mut self) -> Summary {
        for host in 0..HOSTS {
            self.start(host);
        }
        self.after(SECOND, Step::Traffic);
        self.after(SECOND, Step::Trouble);
        self.after(TROUBLE, Step::Calm);
        self.after(TROUBLE + QUIET, Step::Goodbyes);
        self.after(TROUBLE + QUIET + GOODBYE, Step::End);
        while let Some(Reverse((at, _, step))) = self.steps.pop() {
            self.clock.now = at;
            if step == Step::End {
                break;
            }
            self.step(step);
            for (at, due) in std::mem::take(&mut self.net.due) {
                self.at(at, Step::Net(due));
            }
        }
        self.check_end();
        let messages = self.book.messages();
        let is_good =
            |outcome: Option<(Outcome, Micros)>| matches!(outcome, Some((Outcome::Good, _)));
        Summary {
            hash: self.book.hash(),
            messages: messages.len(),
            good: messages.iter().filter(|it| is_good(it.outcome)).count(),
            clean: self.book.clean,
            cut: self.book.cut,
            tampered: self.net.tampered,
        }
    }

    fn at(&mut self, at: Micros, step: Step) {
        self.sequence += 1;
        self.steps.push(Reverse((at, self.sequence, step)));
    }

    fn after(&mut self, time: Micros, step: Step) {
        self.at(self.clock.now + time, step);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Net(due) => {
                let Some(host) = self.net.host_of(due) else {
                    return;
                };
                if self.stalled[host] > self.clock.now {
                    return self.at(self.stalled[host], step);
                }
                let lives = std::array::from_fn(|host| {
                    self.processes[host].as_ref().map(|process| process.id.1)
                });
                if let Some((host, pipe, arrival)) = self.net.arrives(self.clock.now, due, &lives) {
                    self.with(host, |process, env| process.arrival(env, pipe, arrival));
                }
            }
            Step::Wake(host, life) => {
                // Of several, the last that was set counts.
                if self.lives[host] != life || self.wakes[host] != self.clock.now {
                    return;
                }
                if self.stalled[host] > self.clock.now {
                    self.wakes[host] = self.stalled[host];
                    return self.at(self.stalled[host], step);
                }
                self.wakes[host] = Micros::MAX;
                self.with(host, Process::wake);
            }
            Step::Traffic => {
                if !self.is_calm {
                    self.traffic();
                    let pause = self.rng.within(1..400 * MS);
                    self.after(pause, Step::Traffic);
                }
            }
            Step::Trouble => {
                if !self.is_calm {
                    self.trouble();
                    let pause = self.rng.within(10 * MS..3 * SECOND);
                    self.after(pause, Step::Trouble);
                }
            }
            Step::Resume(host) => {
                let now = self.clock.now;
                self.with(host, |process, env| {
                    process.awake = now;
                    process.wake(env);
                });
            }
            Step::Restart(host) => {
                if self.processes[host].is_none() {
                    self.start(host);
                }
            }
            Step::Heal => self.net.heal(self.clock.now),
            Step::Calm => self.calm(),
            Step::Goodbyes => self.goodbyes(),
            Step::End => {}
        }
    }

    /// Lets a process do something, and sees to it that it is woken in time.
    fn with(&mut self, host: usize, act: impl FnOnce(&mut Process, &mut Env<'_>)) {
        let Some(process) = &mut self.processes[host] else {
            return;
        };
        let mut env = Env {
            clock: self.clock,
            net: &mut self.net,
            book: &mut self.book,
        };
        act(process, &mut env);
        let next = process.next(&self.clock).max(self.stalled[host]);
        if next < self.wakes[host] || self.wakes[host] <= self.clock.now {
            self.wakes[host] = next;
            let life = process.id.1;
            self.at(next, Step::Wake(host, life));
        }
    }

    // ---- what happens ---------------------------------------------------------------------------

    fn start(&mut self, host: usize) {
        self.lives[host] += 1;
        let id = (host, self.lives[host]);
        self.book
            .trace(self.clock.now, format_args!("{id:?} starts"));
        self.stalled[host] = 0;
        self.wakes[host] = Micros::MAX;
        let epoch = self.rng.next();
        let env = Env {
            clock: self.clock,
            net: &mut self.net,
            book: &mut self.book,
        };
        let role = if host == 0 {
            Role::Registry(Box::new(RegistryRole::new(&env, epoch)))
        } else {
            Role::Node(Box::<NodeRole>::default())
        };
        let rng = self.rng.fork();
        self.processes[host] = Some(Process::new(id, rng, self.is_noise, role));
        self.with(host, |process, env| {
            if host > 0 {
                process.spawn(env, &format!("own-{host}"));
            }
            process.wake(env);
        });
    }

    fn crash(&mut self, host: usize) {
        let Some(process) = self.processes[host].take() else {
            return;
        };
        self.book
            .trace(self.clock.now, format_args!("{:?} dies", process.id));
        self.book.died(process.id);
        self.net.died(self.clock.now, host, process.id.1);
        let pause = self.rng.within(10 * MS..8 * SECOND);
        self.after(pause, Step::Restart(host));
    }

    fn a_host(&mut self) -> usize {
        self.rng.below(HOSTS)
    }

    fn a_node(&mut self) -> usize {
        1 + self.rng.below(HOSTS - 1)
    }

    fn traffic(&mut self) {
        let from = self.a_node();
        if self.stalled[from] > self.clock.now {
            return;
        }
        // To one of the others, mostly to what is there.
        let other = 1 + (from + self.rng.below(HOSTS - 2)) % (HOSTS - 1);
        let target = match self.rng.below(10) {
            0 => WANTED[0].to_owned(),
            1 => WANTED[1].to_owned(),
            _ => format!("own-{other}"),
        };
        for _ in 0..self.rng.of(&[1, 1, 2, 2, 3, 12]) {
            let urgent = self.rng.percent(20);
            let time = self.rng.of(&[30 * MS, SECOND, 5 * SECOND, 5 * SECOND]);
            let len = self.rng.of(&[0, 30, 300, 3000, 3000, 150_000, 700_000]);
            self.message(from, &target, urgent, time, len);
        }
        if self.rng.percent(10) {
            let now = self.clock.now;
            self.with(from, |process, env| {
                let Some(token) = process.some_open() else {
                    return;
                };
                let Token::Traffic(number) = token else {
                    return;
                };
                if let Some(may_have_run) = process.cancel(token) {
                    let outcome = Outcome::Bad { may_have_run };
                    env.book.ended(now, process.awake, number, outcome);
                }
            });
        }
    }

    fn message(
        &mut self,
        from: usize,
        target: &str,
        urgent: bool,
        time: Micros,
        len: usize,
    ) -> u64 {
        let Some(process) = &self.processes[from] else {
            return 0;
        };
        let (now, id) = (self.clock.now, process.id);
        let deadline = now + time;
        let kind = if self.rng.percent(70) {
            Kind::Ask
        } else {
            Kind::Tell
        };
        let token = self.book.sent(now, id, target, urgent, deadline);
        self.with(from, |process, env| {
            let to = Target::Component(target.to_owned());
            let bytes = payload(token, len);
            process.send(
                Token::Traffic(token),
                to,
                ("Work", urgent),
                kind,
                deadline,
                bytes,
            );
            process.pump(env);
        });
        token
    }

    fn trouble(&mut self) {
        let now = self.clock.now;
        let what = self.rng.below(if self.is_hostile { 14 } else { 10 });
        self.book.trace(now, format_args!("trouble {what}"));
        match what {
            0 => {
                let host = self.a_host();
                self.crash(host);
            }
            1 => {
                let host = self.a_host();
                let until = now + self.rng.within(10 * MS..STALL_MAX);
                // Nobody is stopped twice at a time.
                if self.stalled[host] <= now && self.processes[host].is_some() {
                    self.stalled[host] = until;
                    self.at(until, Step::Resume(host));
                }
            }
            2 | 3 => {
                let (one, other) = (self.a_host(), self.a_host());
                if one != other {
                    self.net.block(one, other);
                    if what == 2 {
                        self.net.block(other, one);
                    }
                    let pause = self.rng.within(10 * MS..8 * SECOND);
                    self.after(pause, Step::Heal);
                }
            }
            4 => {
                if let Some(pipe) = self.net.any_open() {
                    self.net.reset(now, pipe);
                }
            }
            5 => {
                if let Some(pipe) = self.net.any_open() {
                    self.net.blacken(pipe);
                }
            }
            6 => {
                let host = self.a_host();
                if self.stalled[host] <= now {
                    self.with(host, |process, env| process.close_one(env));
                }
            }
            7..=9 => {
                let (host, name) = (self.a_node(), self.rng.of(&WANTED));
                let ends = self.rng.percent(30);
                if self.stalled[host] <= now {
                    self.with(host, |process, env| {
                        if ends {
                            process.stop(env, name);
                        } else {
                            process.spawn(env, name);
                        }
                    });
                }
            }
            _ => {
                let how = [
                    Tamper::Flip,
                    Tamper::Lose,
                    Tamper::Double,
                    Tamper::Swap,
                    Tamper::Insert,
                ];
                let (how, end) = (self.rng.of(&how), self.rng.below(2));
                if let Some(pipe) = self.net.any_open() {
                    self.net.tamper(pipe, end, how);
                }
            }
        }
    }

    /// From now on all goes well.
    fn calm(&mut self) {
        self.book.trace(self.clock.now, format_args!("calm"));
        self.is_calm = true;
        self.net.heal(self.clock.now);
        self.net.calm();
    }

    /// Everybody asks everybody, and is answered.
    fn goodbyes(&mut self) {
        self.check_names();
        for from in 1..HOSTS {
            for to in (1..HOSTS).filter(|to| *to != from) {
                self.message(from, &format!("own-{to}"), false, GOODBYE - SECOND, 100);
            }
        }
    }

    // ---- what must hold -------------------------------------------------------------------------

    fn check_names(&self) {
        let Some(Process {
            role: Role::Registry(registry),
            ..
        }) = &self.processes[0]
        else {
            panic!("there is no registry");
        };
        let table = registry.desk.table();
        assert!(!table.is_recovering());
        let rows: Vec<_> = table.store().after("").collect();
        for row in &rows {
            let name = &row.facts.name;
            let holders: Vec<_> = (1..HOSTS)
                .filter(|host| {
                    self.processes[*host]
                        .as_ref()
                        .is_some_and(|it| it.has(name))
                })
                .collect();
            let [holder] = holders.as_slice() else {
                panic!("{name} is on {holders:?}");
            };
            let node = self.processes[*holder].as_ref().map(|it| it.node);
            assert_eq!(Some(row.node), node, "{name} is another's for the registry");
        }
        for process in self.processes[1..].iter().flatten() {
            let Role::Node(role) = &process.role else {
                continue;
            };
            let own = format!("own-{}", process.id.0);
            assert!(role.components.contains_key(&own), "{own} isn't there");
            for (name, component) in &role.components {
                let row = rows.iter().find(|row| *row.facts.name == *name);
                let row = row.unwrap_or_else(|| panic!("the registry doesn't know {name}"));
                assert_eq!(row.facts.count, component.count, "{name}");
            }
            let mut differences = String::new();
            for row in &rows {
                let copy = role.replica.get(&row.facts.name);
                let is_same = copy
                    .is_some_and(|copy| (copy.place.id, copy.count) == (row.node, row.facts.count));
                if !is_same {
                    let _ = writeln!(differences, "{}: {copy:?}", row.facts.name);
                }
            }
            assert_eq!(differences, "", "at {:?}", process.id);
            let known: Vec<_> = role
                .replica
                .all()
                .map(|it| {
                    (
                        &*it.name,
                        it.place.facts.endpoints[0].clone(),
                        it.place.facts.pid,
                    )
                })
                .collect();
            assert_eq!(
                role.replica.len(),
                rows.len(),
                "at {:?}: {known:?}",
                process.id
            );
        }
    }

    fn check_end(&self) {
        self.book.check_all_ended();
        let count = (HOSTS - 1) * (HOSTS - 2);
        let messages = self.book.messages();
        for (number, message) in messages.iter().enumerate().rev().take(count) {
            let ended = matches!(
                message.outcome,
                Some((Outcome::Good | Outcome::Bad { may_have_run: true }, _))
            );
            assert!(
                ended,
                "{number} didn't get through when all was well: {message:?}"
            );
        }
    }
}
