//! A network that requires encryption, and a node that learns of it.

use botzilla_wire::handshake::Mode;

use super::{Inner, Node};
use crate::{
    Security,
    link::{Connection, Link},
};

impl Node {
    /// How this node's connections have to be protected: as its settings say, or
    /// [`Security::Encrypted`] once the registry has said that its network requires it. None: as the
    /// other side likes.
    pub fn security(&self) -> Option<Security> {
        match self.inner().links.local().modes[..] {
            [Mode::Mac] => Some(Security::Authenticated),
            [Mode::Noise] => Some(Security::Encrypted),
            _ => None,
        }
    }
}

impl Inner {
    /// There is a connection to the registry. It stays; and if it is encrypted where this node had
    /// offered less before that, the registry requires it.
    pub(super) fn reached_registry(&self, link: &Link) {
        self.links.keep(link.peer(), true);
        if link.mode() == Mode::Noise {
            self.require_encryption();
        }
    }

    /// Nothing less is taken from now on, for as long as the node runs: a registry that comes back with
    /// another setting, or somebody in its place, doesn't talk it out of that. Connections that are there
    /// and aren't encrypted are made anew.
    pub(super) fn require_encryption(&self) {
        if self.links.local().modes == [Mode::Noise] {
            return;
        }
        tracing::info!("the network requires encryption: this node takes nothing less from now on");
        let bulk = self.hub.links();
        self.links
            .update_local(|local| local.modes = vec![Mode::Noise]);
        bulk.update_local(|local| local.modes = vec![Mode::Noise]);
        let this = self.this.clone();
        self.arbiter.spawn_fn(move || {
            if let Some(inner) = this.upgrade() {
                inner.links.renew(|link| link.mode() != Mode::Noise);
                let bulk = inner.hub.links();
                bulk.renew(|link| Connection::mode(link) != Mode::Noise);
            }
        });
    }
}
