//! The switch between the hosts, in this process: packets go from one host's TUN device to
//! another's by way of a [`Line`].

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::Instant,
};

use tun_rs::SyncDevice;

use super::{
    line::{Counts, Fault, Line},
    packet,
};

/// The hosts' addresses end in their index plus one.
pub(crate) struct Switch {
    ports: Vec<SyncDevice>,
    /// From each host to each.
    lines: Vec<Vec<Mutex<Line>>>,
    late: Mutex<BinaryHeap<Reverse<Late>>>,
    news: Condvar,
}

/// A packet that is under way, by its time of arrival; of two with the same, the first goes first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Late {
    at: Instant,
    number: u64,
    to: usize,
    bytes: Vec<u8>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread of the switch panics")
}

impl Switch {
    /// Begins to pass packets, until this process ends.
    pub(crate) fn start(ports: Vec<SyncDevice>, seed: u64) -> Arc<Self> {
        let count = ports.len();
        let line = |from: usize, to: usize| {
            let of_its_own = seed.wrapping_add((from * count + to) as u64);
            Mutex::new(Line::new(of_its_own))
        };
        let lines = |from| (0..count).map(|to| line(from, to)).collect();
        let switch = Arc::new(Self {
            lines: (0..count).map(lines).collect(),
            ports,
            late: Mutex::default(),
            news: Condvar::new(),
        });
        for port in 0..count {
            let switch = Arc::clone(&switch);
            std::thread::spawn(move || switch.receive(port));
        }
        let postman = Arc::clone(&switch);
        std::thread::spawn(move || postman.deliver());
        switch
    }

    pub(crate) fn set(&self, from: usize, to: usize, fault: Fault) {
        locked(&self.lines[from][to]).set(fault);
    }

    /// Over all lines.
    pub(crate) fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        for line in self.lines.iter().flatten() {
            let counts = locked(line).counts;
            sum.passed += counts.passed;
            sum.lost += counts.lost;
            sum.late += counts.late;
            sum.altered += counts.altered;
        }
        sum
    }

    fn receive(&self, from: usize) {
        let mut buffer = vec![0; 65_536];
        let mut number = 0;
        // It fails when the device is gone, which is when the suite ends.
        while let Ok(len) = self.ports[from].recv(&mut buffer) {
            let bytes = &mut buffer[..len];
            let target = packet::target(bytes).map(|target| target.octets()[3]);
            let Some(to) = target.and_then(|last| usize::from(last).checked_sub(1)) else {
                continue;
            };
            let Some(line) = self.lines[from].get(to) else {
                continue;
            };
            let now = Instant::now();
            let Some(at) = locked(line).pass(now, bytes) else {
                continue;
            };
            if at <= now {
                // A full queue drops it, as a network does.
                let _ = self.ports[to].send(bytes);
                continue;
            }
            number += 1;
            let bytes = bytes.to_vec();
            locked(&self.late).push(Reverse(Late {
                at,
                number,
                to,
                bytes,
            }));
            self.news.notify_one();
        }
    }

    fn deliver(&self) {
        let mut late = locked(&self.late);
        loop {
            let now = Instant::now();
            match late.peek() {
                Some(Reverse(next)) if next.at <= now => {
                    let Some(Reverse(due)) = late.pop() else {
                        continue;
                    };
                    drop(late);
                    let _ = self.ports[due.to].send(&due.bytes);
                    late = locked(&self.late);
                }
                Some(Reverse(next)) => {
                    let wait = next.at.duration_since(now);
                    let waited = self.news.wait_timeout(late, wait);
                    late = waited.expect("no thread of the switch panics").0;
                }
                None => {
                    let waited = self.news.wait(late);
                    late = waited.expect("no thread of the switch panics");
                }
            }
        }
    }
}
