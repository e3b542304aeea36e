//! Another connection in the place of one that is there and works: for its secret was dropped, or the
//! network now requires encryption. Nothing that is open on the old one is lost.
//!
//! ```text
//!   this node                                        the peer
//!   no message begins on the old one any more
//!        │ what waits, drain ────────────────────────▶ all of ours is there: hands it on, likewise
//!   all of the peer's is there ◀──── what waits, drain │
//!        │ both: dial; messages go on, in order, on the new one
//!        ▼ the old one ends once nothing is open on it
//! ```
//!
//! Until the peer's drain has come nothing is dialled or accepted in the old one's place: so no message
//! overtakes one that was sent before, whichever connection it comes on.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use botzilla_wire::ident::{Lane, NodeId};

use super::{
    lane::{Carrier, Connection},
    table::Links,
};

/// How long what is open on the old one has; then it is cut.
pub(crate) const TIME: Duration = Duration::from_secs(5);
/// How many old ones of one peer are left to end by themselves.
const OLD: usize = 4;

impl<C: Carrier> Links<C> {
    /// Has other connections take the place of those that are meant. How many these are.
    ///
    /// Runs on the node's thread.
    pub(crate) fn renew(&self, is_meant: impl Fn(&C::Link) -> bool) -> usize {
        let links = self.all();
        let meant = links.iter().filter(|link| link.is_open() && is_meant(link));
        meant.map(|link| self.retire(link)).count()
    }

    /// Nothing begins on the connection any more. Who dialled it dials again, with the address that it
    /// had: the other side may have no way here.
    pub(super) fn retire(&self, link: &Arc<C::Link>) {
        let peer = link.peer();
        let last_heard = link.last_heard();
        let oldest = {
            let mut table = self.table.lock();
            let is_current = |current: &mut Arc<C::Link>| current.id() == link.id();
            let stopping = table.stopping;
            let Some(entry) = table.peers.get_mut(&peer).filter(|_| !stopping) else {
                return;
            };
            let Some(current) = entry.current.take_if(is_current) else {
                return;
            };
            entry.last_heard = Some(last_heard);
            entry.old.push(current);
            (entry.old.len() > OLD).then(|| entry.old.remove(0))
        };
        link.retire();
        if let Some(oldest) = oldest {
            self.ended(&oldest, "too many newer connections have taken its place");
        }
        tracing::debug!(%peer, lane = %C::LANE, key = %link.key_id(), "another connection takes this one's place");
        // Who subscribes dials the bulk lane by itself.
        if link.dialled() && C::LANE == Lane::Control {
            let links = self.this.clone();
            let addresses = [link.peer_address().to_string()];
            self.spawn(async move {
                if let Some(links) = links.upgrade() {
                    // Should it fail, the next message says why.
                    let _ = links.connect(peer, &addresses, Instant::now() + TIME).await;
                }
            });
        }
        self.changed.notify_waiters();
    }

    /// All that the peer has sent on connections that others take the place of is there, or they have
    /// ended: bounded by [`TIME`] and the time that an end takes.
    pub(super) async fn until_handed_over(&self, peer: NodeId) {
        loop {
            let changed = self.changed.notified();
            let waits = {
                let table = self.table.lock();
                let entry = table.peers.get(&peer);
                entry.is_some_and(|entry| entry.old.iter().any(|link| !link.is_handed_over()))
            };
            if !waits {
                return;
            }
            changed.await;
        }
    }
}
