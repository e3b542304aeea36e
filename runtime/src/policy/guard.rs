//! A policy in force on a node: what it denies is counted and logged, and it may change.
//!
//! Who asks holds nobody's lock but a table's of connections; what this looks at is the policy and the
//! directory.

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use botzilla_wire::{Name, NodeId};
use parking_lot::{Mutex, RwLock};

use super::{DeniedReport, Policy, Request, Verb, denials::Denials};
use crate::{ConfigError, directory::Directory, stream::StreamName};

/// A node's policy, and where it is from.
#[derive(Clone, Debug)]
pub(crate) struct PolicyFile {
    pub(crate) path: PathBuf,
    pub(crate) policy: Arc<Policy>,
}

/// What stands at the node's doors.
pub(crate) struct Guard {
    node: NodeId,
    path: PathBuf,
    policy: RwLock<Arc<Policy>>,
    /// Which policy it is: what was decided under an earlier one is decided anew.
    epoch: AtomicU64,
    denials: Mutex<Denials>,
    directory: Arc<Directory>,
}

/// Where a message came from.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) node: NodeId,
    /// The key id of its connection, if there is a policy to ask about it.
    pub(crate) key: Option<Arc<str>>,
}

/// What is denied, and why, for whoever wanted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal(Arc<Refused>);

#[derive(Debug, PartialEq, Eq)]
struct Refused {
    verb: Verb,
    what: String,
    text: String,
}

impl Guard {
    pub(crate) fn new(node: NodeId, file: &PolicyFile, directory: Arc<Directory>) -> Arc<Self> {
        Arc::new(Self {
            node,
            path: file.path.clone(),
            policy: RwLock::new(Arc::clone(&file.policy)),
            epoch: AtomicU64::new(1),
            denials: Mutex::default(),
            directory,
        })
    }

    /// The file that it is from.
    pub(crate) fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Which policy it is, counted from 1.
    #[inline]
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Reads the file again. Whether it says something else now.
    ///
    /// # Errors
    ///
    /// It can't be used: what was in force stays so.
    pub(crate) fn reload(&self) -> Result<bool, ConfigError> {
        let new = Policy::from_file(&self.path)?;
        let mut policy = self.policy.write();
        if **policy == new {
            return Ok(false);
        }
        *policy = Arc::new(new);
        self.epoch.fetch_add(1, Ordering::AcqRel);
        Ok(true)
    }

    fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.read())
    }

    // ---- connections ----------------------------------------------------------------------------

    /// Whether a node may be connected under a key id: some rule names that, and what the directory says
    /// that the node is, the key id may be. So who holds a lesser secret gets nothing by another's id.
    pub(crate) fn admits(&self, key: &str, peer: NodeId) -> Result<(), Refusal> {
        let policy = self.policy();
        let refused = |text| Err(Refusal::new(Verb::Connect, peer, text));
        if !policy.names(key) {
            return refused(format!(
                "no rule of the policy of node {} names the key id `{key}`",
                self.node
            ));
        }
        let held = self.directory.held_by(peer);
        match held.iter().find(|name| !may_be(&policy, key, name)) {
            None => Ok(()),
            Some(name) => refused(format!(
                "node {peer} is {name}, which the policy of node {} doesn't let the key id `{key}` be",
                self.node
            )),
        }
    }

    /// The same, counted.
    pub(crate) fn admit(&self, key: &str, peer: NodeId) -> Result<(), Refusal> {
        self.counted(key, self.admits(key, peer))
    }

    /// Whether a connection of one key id may take the place of one of another, which is there.
    pub(crate) fn may_replace(&self, new: &str, old: &str, peer: NodeId) -> Result<(), Refusal> {
        if new == old || self.policy().covers(new, old) {
            return Ok(());
        }
        let text =
            format!("node {peer} is connected under the key id `{old}`, and `{new}` may do less");
        self.counted(new, Err(Refusal::new(Verb::Connect, peer, text)))
    }

    // ---- what comes in --------------------------------------------------------------------------

    /// Whether a message may be sent to a component here.
    pub(crate) fn call(&self, key: &str, component: &str, message: &str) -> Result<(), Refusal> {
        self.decide(key, &Request::Call { component, message })
    }

    /// Whether a node may send as a component.
    pub(crate) fn send_as(&self, key: &str, peer: NodeId, sender: &Name) -> Result<(), Refusal> {
        if self.is(key, peer, sender) {
            return Ok(());
        }
        let text = format!(
            "the policy of node {} doesn't let the key id `{key}` be {sender}, as which it sends",
            self.node
        );
        self.counted(key, Err(Refusal::new(Verb::Register, sender, text)))
    }

    /// Whether a stream here may be subscribed to.
    pub(crate) fn subscribe(&self, key: &str, stream: &str) -> Result<(), Refusal> {
        self.decide(key, &Request::Subscribe(stream))
    }

    /// Whether a component may be registered.
    pub(crate) fn register(&self, key: &str, component: &str) -> Result<(), Refusal> {
        self.decide(key, &Request::Register(component))
    }

    // ---- what goes out --------------------------------------------------------------------------

    /// Whether a node is a component, for us: to be asked as it.
    pub(crate) fn ask_as(&self, key: &str, peer: NodeId, component: &str) -> Result<(), Refusal> {
        if self.is(key, peer, component) {
            return Ok(());
        }
        let text = format!(
            "node {peer} is connected under the key id `{key}`, which this node's policy doesn't let be \
             {component}"
        );
        self.counted(key, Err(Refusal::new(Verb::Register, component, text)))
    }

    /// Whether a stream is taken from a node. Isn't counted before it is told.
    pub(crate) fn takes(
        &self,
        key: &str,
        peer: NodeId,
        stream: &StreamName,
    ) -> Result<(), Refusal> {
        let publish = Request::Publish(stream.text());
        let may_publish = self.policy().decide(key, &publish).is_allowed();
        if may_publish && self.is(key, peer, stream.component()) {
            return Ok(());
        }
        let text = format!(
            "node {peer} is connected under the key id `{key}`, which this node's policy doesn't let \
             publish {stream}"
        );
        Err(Refusal::new(Verb::Publish, stream, text))
    }

    /// Whether a node may be known by a name. What a node says as itself, it may, unless it is somebody.
    pub(crate) fn is(&self, key: &str, peer: NodeId, name: &str) -> bool {
        let itself = || name.strip_prefix("node/") == Some(&*peer.to_string());
        may_be(&self.policy(), key, name) || (itself() && self.admits(key, peer).is_ok())
    }

    // ---- counts ---------------------------------------------------------------------------------

    /// What was denied.
    pub(crate) fn reports(&self) -> Vec<DeniedReport> {
        self.denials.lock().reports()
    }

    /// Counts what is denied, once more.
    pub(crate) fn count(&self, key: &str, refusal: &Refusal) {
        let Refused { verb, what, text } = &*refusal.0;
        let times = self.denials.lock().add(key, *verb, what);
        // A tablet that tries all day doesn't fill the disk.
        if times.is_power_of_two() {
            tracing::warn!(key, %verb, what, times, reason = text, "denied by policy");
        }
    }

    fn counted(&self, key: &str, result: Result<(), Refusal>) -> Result<(), Refusal> {
        result.inspect_err(|refusal| self.count(key, refusal))
    }

    fn decide(&self, key: &str, request: &Request<'_>) -> Result<(), Refusal> {
        if self.policy().decide(key, request).is_allowed() {
            return Ok(());
        }
        let verb = request.verb();
        let text = format!(
            "the policy of node {} doesn't let the key id `{key}` {verb} {request}",
            self.node
        );
        self.counted(key, Err(Refusal::new(verb, request, text)))
    }
}

/// Whether a key id may be a component. The registry is one like others.
fn may_be(policy: &Policy, key: &str, name: &str) -> bool {
    policy.decide(key, &Request::Register(name)).is_allowed()
}

impl Refusal {
    fn new(verb: Verb, what: impl fmt::Display, text: String) -> Self {
        let what = what.to_string();
        Self(Arc::new(Refused { verb, what, text }))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl From<Refusal> for String {
    fn from(refusal: Refusal) -> Self {
        refusal.0.text.clone()
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("path", &self.path)
            .field("epoch", &self.epoch())
            .finish_non_exhaustive()
    }
}
