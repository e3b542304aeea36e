//! The hosts: network namespaces, each with an address of its own, and a switch between them that
//! this process is. The kernel's `netem` would do most of it, but not every kernel has it (ours here
//! hasn't), and what it damages a checksum shows: it never reaches the library.

pub(crate) mod line;
mod packet;
mod switch;

use std::{
    net::Ipv4Addr,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use tun_rs::{DeviceBuilder, SyncDevice};

use self::{
    line::{Counts, Fault},
    switch::Switch,
};

/// A machine of the robot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Registry,
    A,
    B,
    C,
    /// Where newcomers and strangers are.
    Guest,
}

impl Host {
    pub(crate) const ALL: [Self; 5] = [Self::Registry, Self::A, Self::B, Self::C, Self::Guest];

    fn index(self) -> usize {
        self as usize
    }
}

/// Whether what goes over the network is encrypted in this scenario.
static IS_ENCRYPTED: AtomicBool = AtomicBool::new(false);

pub(crate) fn encrypt(is_encrypted: bool) {
    IS_ENCRYPTED.store(is_encrypted, Relaxed);
}

/// As the setting is written.
pub(crate) fn security() -> &'static str {
    if IS_ENCRYPTED.load(Relaxed) {
        "noise"
    } else {
        "hmac"
    }
}

const PREFIX: &str = "bzchaos-";

/// Where processes run.
pub(crate) struct Network {
    /// None: all processes are on the loopback interface.
    switch: Option<Arc<Switch>>,
}

impl Network {
    /// Namespaces if they can be made; the reason why not, otherwise.
    pub(crate) fn new(seed: u64) -> (Self, Option<String>) {
        remove_leftovers();
        match namespaces(seed) {
            Ok(switch) => {
                let switch = Some(switch);
                (Self { switch }, None)
            }
            Err(why) => {
                remove(std::process::id());
                (Self { switch: None }, Some(why))
            }
        }
    }

    pub(crate) fn is_loopback(&self) -> bool {
        self.switch.is_none()
    }

    pub(crate) fn address(&self, host: Host) -> Ipv4Addr {
        match self.switch {
            Some(_) => address(host.index()),
            None => Ipv4Addr::LOCALHOST,
        }
    }

    /// The words in front of a command that is to run on this host.
    pub(crate) fn enter(&self, host: Host) -> Vec<String> {
        if self.is_loopback() {
            return Vec::new();
        }
        let name = name(std::process::id(), host.index());
        ["ip", "netns", "exec", &name].map(str::to_owned).into()
    }

    fn switch(&self) -> &Switch {
        let switch = self.switch.as_ref();
        switch.expect("a scenario that needs it is left out")
    }

    /// In this direction only.
    pub(crate) fn one_way(&self, from: Host, to: Host, fault: Fault) {
        self.switch().set(from.index(), to.index(), fault);
    }

    pub(crate) fn between(&self, one: Host, other: Host, fault: Fault) {
        self.one_way(one, other, fault);
        self.one_way(other, one, fault);
    }

    pub(crate) fn everywhere(&self, fault: Fault) {
        for (index, &one) in Host::ALL.iter().enumerate() {
            for &other in &Host::ALL[..index] {
                self.between(one, other, fault);
            }
        }
    }

    pub(crate) fn heal(&self) {
        if !self.is_loopback() {
            self.everywhere(Fault::NONE);
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.switch().counts()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if !self.is_loopback() {
            remove(std::process::id());
        }
    }
}

fn name(pid: u32, index: usize) -> String {
    format!("{PREFIX}{pid}-{index}")
}

fn address(index: usize) -> Ipv4Addr {
    let last = u8::try_from(index + 1).expect("there are few hosts");
    Ipv4Addr::new(10, 86, 0, last)
}

fn ip(words: &[&str]) -> Result<String, String> {
    let mut command = Command::new("ip");
    let ran = command.args(words).stdin(Stdio::null()).output();
    let ran = ran.map_err(|error| format!("ip: {error}"))?;
    if ran.status.success() {
        return Ok(String::from_utf8_lossy(&ran.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&ran.stderr);
    Err(format!("ip {}: {}", words.join(" "), said.trim()))
}

fn namespaces(seed: u64) -> Result<Arc<Switch>, String> {
    let pid = std::process::id();
    let port = |(index, _): (usize, &Host)| -> Result<SyncDevice, String> {
        let (space, device) = (name(pid, index), format!("bz{pid}x{index}"));
        ip(&["netns", "add", &space])?;
        let made = DeviceBuilder::new()
            .name(&device)
            .enable(false)
            .build_sync();
        let port = made.map_err(|error| format!("/dev/net/tun: {error}"))?;
        let address = format!("{}/24", address(index));
        // The descriptor stays with it wherever it goes.
        ip(&["link", "set", &device, "netns", &space, "name", "net0"])?;
        ip(&["-n", &space, "link", "set", "lo", "up"])?;
        ip(&["-n", &space, "addr", "add", &address, "dev", "net0"])?;
        ip(&["-n", &space, "link", "set", "net0", "up"])?;
        Ok(port)
    };
    let ports: Result<Vec<_>, _> = Host::ALL.iter().enumerate().map(port).collect();
    Ok(Switch::start(ports?, seed))
}

/// What a run that was killed couldn't remove.
fn remove_leftovers() {
    let listed = ip(&["netns", "list"]).unwrap_or_default();
    for line in listed.lines() {
        let owner = line.strip_prefix(PREFIX).and_then(|rest| {
            let pid = rest.split('-').next()?;
            pid.parse::<u32>().ok()
        });
        if let Some(pid) = owner
            && !Path::new(&format!("/proc/{pid}")).exists()
        {
            remove(pid);
        }
    }
}

/// The namespaces of a run, and the processes in them.
fn remove(owner: u32) {
    for index in 0..Host::ALL.len() {
        let space = name(owner, index);
        for pid in ip(&["netns", "pids", &space]).unwrap_or_default().lines() {
            let _ = Command::new("kill").args(["-KILL", pid]).status();
        }
        let _ = ip(&["netns", "del", &space]);
    }
}
