//! A node's copy of the registry's table, so that finding a component costs no round trip and works
//! while the registry is away.
//!
//! Pure: answers of the registry in, lookups out. What the registry forgets isn't always gone:
//!
//! ```text
//!             Set               Removed, lapsed, and we are connected to its node
//!   (absent) -----> Live --------------------------------------------------------> Lapsed
//!      ^             |  ^ Set                                                        |
//!      |             |  '------------------------------------------------------------|
//!      |             | new epoch, or not in a whole snapshot                         |
//!      |             v                                                               |
//!      |          Doubtful ---- still so when the registry has recovered: as lapsed  |
//!      '--------- Removed, deregistered; or our connection to its node ended --------'
//! ```

use std::{sync::Arc, time::Duration};

use botzilla_wire::ident::{Name, NodeId};
use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    facts::{Entry, NodeFacts},
    located::{BadFacts, Located, Place, hex_u64},
    messages::{Change, News, Removal, ResolveReply, Watch, WatchReply},
};

/// The copy. Each name in it is one holder's.
#[derive(Debug, Default)]
pub struct Replica {
    /// The registry's start that the rest is from; none before the first answer.
    epoch: Option<u64>,
    revision: u64,
    recovering: bool,
    names: FxHashMap<Name, Slot>,
    places: FxHashMap<NodeId, Kept>,
    /// A snapshot that is still coming in.
    pages: Option<Pages>,
    /// The first snapshot, and what changed while it came in, are there.
    whole: bool,
    /// A snapshot of several pages came in while the table went on: what is doubtful is known only
    /// after the next answer.
    catching_up: bool,
}

#[derive(Debug)]
struct Slot {
    located: Arc<Located>,
    standing: Standing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// The registry's present start vouches for it.
    Live,
    /// An earlier one did.
    Doubtful,
    /// Given up while the registry recovered.
    GivenUp,
    /// The registry hears nothing of its node; we do.
    Lapsed,
}

#[derive(Debug)]
struct Kept {
    place: Arc<Place>,
    /// How many names are there. A place without any goes once the replica has caught up, not
    /// before: the registry describes a node once, and names of its may be in the next answer.
    names: usize,
}

#[derive(Debug)]
struct Pages {
    epoch: u64,
    revision: u64,
    pages: usize,
    places: FxHashMap<NodeId, Arc<Place>>,
    entries: Vec<Located>,
}

/// What an answer of the registry did to the replica.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Names whose holder or facts are others now, or that are gone.
    pub changed: Vec<Name>,
    /// Those of them that nobody has any more, as far as is known, and why.
    pub gone: Vec<(Name, Removal)>,
    /// This was the first answer from this start of the registry: it may know nothing of us.
    pub new_epoch: bool,
}

impl Replica {
    /// A copy of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Who holds a name.
    pub fn get(&self, name: &str) -> Option<&Arc<Located>> {
        self.names.get(name).map(|slot| &slot.located)
    }

    /// All components, in no order.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Located>> {
        self.names.values().map(|slot| &slot.located)
    }

    /// All components of a group, in no order.
    pub fn group(&self, group: &str) -> impl Iterator<Item = &Arc<Located>> {
        self.all().filter(move |located| located.is_in(group))
    }

    /// A node that holds names.
    pub fn place(&self, node: &NodeId) -> Option<&Arc<Place>> {
        self.places.get(node).map(|kept| &kept.place)
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether all that the registry knew has come in once.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// The registry's start and revision that this is from: equal to what its answers say.
    pub fn position(&self) -> (Option<u64>, u64) {
        (self.epoch, self.revision)
    }

    /// Whether the registry said that it doesn't know all holders yet.
    pub fn is_recovering(&self) -> bool {
        self.recovering
    }

    /// What to ask the registry next; it may hold its answer for this long.
    pub fn next_watch(&self, wait: Duration) -> Watch {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let mut watch = Watch {
            epoch: self.epoch.map(epoch_text).unwrap_or_default(),
            revision: self.revision,
            recovering: self.recovering,
            after: None,
            wait_ms: if self.catching_up { 0 } else { wait_ms },
        };
        if let Some(pages) = &self.pages {
            watch.epoch = epoch_text(pages.epoch);
            watch.revision = pages.revision;
            watch.after = pages.entries.last().map(|last| last.name.to_string());
            watch.wait_ms = 0;
        }
        watch
    }

    /// Takes in an answer to [`Self::next_watch`]. `connected` says whether we have a connection to
    /// a node now: what the registry lost sight of is kept as long as we see it.
    ///
    /// # Errors
    ///
    /// If the answer makes no sense; the next question then asks for a whole snapshot, and what is
    /// known stays until it is there.
    pub fn apply(
        &mut self,
        reply: WatchReply,
        connected: impl Fn(&NodeId) -> bool,
    ) -> Result<Applied, BadFacts> {
        let applied = self.try_apply(reply, connected);
        if applied.is_err() {
            self.pages = None;
            self.revision = 0;
            self.catching_up = false;
        }
        applied
    }

    fn try_apply(
        &mut self,
        reply: WatchReply,
        connected: impl Fn(&NodeId) -> bool,
    ) -> Result<Applied, BadFacts> {
        let epoch = hex_u64(&reply.epoch).ok_or(BadFacts::Epoch)?;
        let mut applied = Applied::default();
        match reply.news {
            News::Changes {
                revision,
                nodes,
                changes,
                more,
            } => {
                if self.epoch != Some(epoch) || self.pages.is_some() || revision < self.revision {
                    return Err(BadFacts::OutOfStep);
                }
                self.recovering = reply.recovering;
                for facts in nodes {
                    self.describe(facts, &mut applied)?;
                }
                for change in changes {
                    match change {
                        Change::Set { entry } => self.set(&entry, &mut applied)?,
                        Change::Removed { name, reason } => {
                            self.removed(&name, reason, &connected, &mut applied);
                        }
                    }
                }
                self.revision = revision;
                if !more {
                    self.caught_up(&connected, &mut applied);
                }
            }
            News::Page {
                revision,
                nodes,
                entries,
                more,
            } => {
                self.page(epoch, revision, nodes, &entries)?;
                if !more {
                    self.recovering = reply.recovering;
                    applied.new_epoch = self.turn_over(&mut applied);
                    if !self.catching_up {
                        self.caught_up(&connected, &mut applied);
                    }
                }
            }
        }
        Ok(applied)
    }

    /// Remembers what the registry answered about one name, so that it need not be asked again until
    /// the watch has caught up with it.
    ///
    /// Besides who has the name: what that changed here.
    ///
    /// # Errors
    ///
    /// If the answer makes no sense.
    pub fn learn(
        &mut self,
        reply: &ResolveReply,
    ) -> Result<(Option<Arc<Located>>, Applied), BadFacts> {
        let mut applied = Applied::default();
        let Some(found) = &reply.found else {
            return Ok((None, applied));
        };
        let epoch = hex_u64(&reply.epoch).ok_or(BadFacts::Epoch)?;
        let place = Arc::new(Place::new(found.node.clone())?);
        let located = Arc::new(Located::new(&found.entry, place)?);
        let newer = self.epoch == Some(epoch) && located.revision > self.revision;
        if newer && self.pages.is_none() {
            self.describe(found.node.clone(), &mut applied)?;
            self.set(&found.entry, &mut applied)?;
        }
        Ok((Some(located), applied))
    }

    /// Our connection to a node ended: what was known through it alone is gone.
    pub fn link_lost(&mut self, node: &NodeId) -> Applied {
        let gone: Vec<Name> = self
            .names
            .values()
            .filter(|slot| slot.standing == Standing::Lapsed && slot.located.place.id == *node)
            .map(|slot| slot.located.name.clone())
            .collect();
        for name in &gone {
            self.forget(name);
        }
        self.purge_places();
        Applied {
            gone: gone
                .iter()
                .map(|name| (name.clone(), Removal::Lapsed))
                .collect(),
            changed: gone,
            new_epoch: false,
        }
    }

    fn page(
        &mut self,
        epoch: u64,
        revision: u64,
        nodes: Vec<NodeFacts>,
        entries: &[Entry],
    ) -> Result<(), BadFacts> {
        let mut pages = match self.pages.take() {
            Some(pages) if pages.epoch == epoch && pages.revision == revision => pages,
            _ => Pages {
                epoch,
                revision,
                pages: 0,
                places: FxHashMap::default(),
                entries: Vec::new(),
            },
        };
        pages.pages += 1;
        for facts in nodes {
            let place = Place::new(facts)?;
            pages.places.insert(place.id, Arc::new(place));
        }
        for entry in entries {
            let place = node_id(entry).and_then(|id| pages.places.get(&id));
            let place = place.ok_or_else(|| no_such_node(entry))?;
            let located = Located::new(entry, Arc::clone(place))?;
            if pages
                .entries
                .last()
                .is_some_and(|last| last.name >= located.name)
            {
                return Err(BadFacts::OutOfStep);
            }
            pages.entries.push(located);
        }
        self.pages = Some(pages);
        Ok(())
    }

    /// Puts a snapshot that is complete in the place of what was known. Returns whether it is of
    /// another start of the registry.
    fn turn_over(&mut self, applied: &mut Applied) -> bool {
        let Some(pages) = self.pages.take() else {
            return false;
        };
        let new_epoch = self.epoch != Some(pages.epoch);
        self.epoch = Some(pages.epoch);
        self.revision = pages.revision;
        self.catching_up = pages.pages > 1;
        for slot in self.names.values_mut() {
            if slot.standing == Standing::Live {
                slot.standing = Standing::Doubtful;
            }
        }
        for place in pages.places.into_values() {
            self.replace_place(place, applied);
        }
        for located in pages.entries {
            self.put(located, applied);
        }
        new_epoch
    }

    /// All that the registry knew has come in: what it doesn't vouch for goes, unless it recovers.
    fn caught_up(&mut self, connected: &impl Fn(&NodeId) -> bool, applied: &mut Applied) {
        self.whole = true;
        self.catching_up = false;
        if !self.recovering {
            // A node that the registry vouches for has told it all that it has: what isn't among it was
            // given up while nobody could be told, however well we see the node.
            let known: FxHashSet<NodeId> = self
                .names
                .values()
                .filter(|slot| slot.standing == Standing::Live)
                .map(|slot| slot.located.place.id)
                .collect();
            let doubtful: Vec<(Name, Removal)> = self
                .names
                .values()
                .filter_map(|slot| match slot.standing {
                    Standing::Doubtful if known.contains(&slot.located.place.id) => {
                        Some((slot.located.name.clone(), Removal::Deregistered))
                    }
                    Standing::Doubtful => Some((slot.located.name.clone(), Removal::Lapsed)),
                    Standing::GivenUp => Some((slot.located.name.clone(), Removal::Deregistered)),
                    Standing::Live | Standing::Lapsed => None,
                })
                .collect();
            for (name, reason) in doubtful {
                self.removed(&name, reason, connected, applied);
            }
        }
        self.purge_places();
    }

    fn set(&mut self, entry: &Entry, applied: &mut Applied) -> Result<(), BadFacts> {
        let kept = node_id(entry).and_then(|id| self.places.get(&id));
        let place = Arc::clone(&kept.ok_or_else(|| no_such_node(entry))?.place);
        self.put(Located::new(entry, place)?, applied);
        Ok(())
    }

    fn put(&mut self, mut located: Located, applied: &mut Applied) {
        let name = located.name.clone();
        if let Some(kept) = self.places.get(&located.place.id) {
            located.place = Arc::clone(&kept.place);
        }
        if let Some(slot) = self.names.get_mut(&name)
            && *slot.located == located
        {
            slot.standing = Standing::Live;
            return;
        }
        self.forget(&name);
        if let Some(kept) = self.places.get_mut(&located.place.id) {
            kept.names += 1;
        }
        let slot = Slot {
            located: Arc::new(located),
            standing: Standing::Live,
        };
        self.names.insert(name.clone(), slot);
        applied.changed.push(name);
    }

    fn removed(
        &mut self,
        name: &str,
        reason: Removal,
        connected: &impl Fn(&NodeId) -> bool,
        applied: &mut Applied,
    ) {
        let Some(slot) = self.names.get_mut(name) else {
            return;
        };
        let seen = connected(&slot.located.place.id);
        slot.standing = match reason {
            Removal::Deregistered | Removal::Failed if self.recovering => Standing::GivenUp,
            Removal::Lapsed if self.recovering => Standing::Doubtful,
            Removal::Lapsed if seen => Standing::Lapsed,
            _ => {
                let name = slot.located.name.clone();
                applied.changed.push(name.clone());
                self.forget(&name);
                applied.gone.push((name, reason));
                return;
            }
        };
    }

    fn forget(&mut self, name: &str) {
        if let Some(slot) = self.names.remove(name)
            && let Some(kept) = self.places.get_mut(&slot.located.place.id)
        {
            kept.names -= 1;
        }
    }

    fn describe(&mut self, facts: NodeFacts, applied: &mut Applied) -> Result<(), BadFacts> {
        self.replace_place(Arc::new(Place::new(facts)?), applied);
        Ok(())
    }

    fn replace_place(&mut self, place: Arc<Place>, applied: &mut Applied) {
        let Some(kept) = self.places.get_mut(&place.id) else {
            let id = place.id;
            self.places.insert(id, Kept { place, names: 0 });
            return;
        };
        if kept.place == place {
            return;
        }
        kept.place = Arc::clone(&place);
        // Rare: a node's addresses changed. Lookups, which are not, then find both in one step.
        for slot in self.names.values_mut() {
            if slot.located.place.id == place.id {
                Arc::make_mut(&mut slot.located).place = Arc::clone(&place);
                applied.changed.push(slot.located.name.clone());
            }
        }
    }

    fn purge_places(&mut self) {
        self.places.retain(|_, kept| kept.names > 0);
    }
}

/// An epoch as messages have it.
pub fn epoch_text(epoch: u64) -> String {
    format!("{epoch:016x}")
}

fn node_id(entry: &Entry) -> Option<NodeId> {
    entry.node.parse().ok()
}

fn no_such_node(entry: &Entry) -> BadFacts {
    BadFacts::NoSuchNode(entry.component.name.clone())
}

#[cfg(test)]
mod tests;
