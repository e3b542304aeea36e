//! Secrets that change while the node runs.

use std::{collections::BTreeSet, sync::Arc};

use botzilla_wire::{Keyring, Secret};

use super::{Inner, Node};
use crate::{ConfigError, Result, link::Connection, program};

impl Node {
    /// Reads again what this node has from files: its secrets and its policy. New connections use what they say now;
    /// those that were made with a secret that is no longer held end once what is open on them has
    /// ended, within 5 s, and are made anew. What the policy says now holds for messages, subscriptions,
    /// connections and names that are there, too. Files are also read again when they change, and, in a
    /// program of [`main`](crate::main), at SIGHUP.
    ///
    /// ```no_run
    /// # async fn run(node: botzilla::Node) -> botzilla::Result<()> {
    /// node.reload().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// A file can't be read or used: what was in force stays in force.
    pub async fn reload(&self) -> Result<(), ConfigError> {
        self.inner().reload.now().await
    }

    /// The ids of the secrets that this node holds now, the preferred one first. Anybody may see them.
    pub fn key_ids(&self) -> Vec<String> {
        let local = self.inner().links.local();
        let ids = local.secrets.iter().map(Secret::id);
        ids.map(str::to_owned).collect()
    }

    /// Has SIGHUP read the files of [`Node::reload`] again, if this node has some; otherwise the signal
    /// ends the process as before. Programs of [`main`](crate::main) do so by themselves. When the
    /// terminal is closed that the program was started in, it ends all the same, as at SIGTERM.
    ///
    /// # Errors
    ///
    /// Signals can't be waited for.
    pub async fn reload_at_sighup(&self) -> Result<()> {
        Ok(self.inner().reload.at_sighup().await?)
    }

    /// Begins to watch the files, once all were registered.
    pub(super) fn begin_reload(&self) -> Result<()> {
        let inner = self.inner();
        // What asks a few things and ends doesn't live to see a change.
        if inner.config.short_lived {
            return Ok(());
        }
        // What is no file can be read once: a pipe from a shell, or from who starts programs.
        let file = inner.config.secret_source.file();
        if let Some(file) = file.filter(|file| file.is_file()) {
            let this = inner.this.clone();
            inner
                .reload
                .register("the secrets", file.to_owned(), move || {
                    this.upgrade()
                        .map_or(Ok(None), |inner| inner.read_secrets())
                });
        }
        if let Some(guard) = inner.guard() {
            let this = inner.this.clone();
            let again = move || this.upgrade().map_or(Ok(None), |inner| inner.read_policy());
            let file = guard.path().clone();
            inner.reload.register("the policy's rules", file, again);
        }
        Ok(inner
            .reload
            .begin(inner.stopped.clone(), program::is_ours())?)
    }
}

impl Inner {
    /// Reads the secrets again, and puts them into force. What has changed, for people.
    fn read_secrets(&self) -> Result<Option<String>, ConfigError> {
        let now = self.config.secrets_now()?;
        Ok(now.and_then(|keyring| self.hold(&keyring)))
    }

    /// Holds these secrets from now on.
    fn hold(&self, keyring: &Keyring) -> Option<String> {
        let before = self.links.local();
        let (before, now) = (&before.secrets, keyring.secrets());
        if before == now {
            return None;
        }
        // Another secret under the same id counts as well.
        let without = |some: &[Secret], others: &[Secret]| -> BTreeSet<Arc<str>> {
            let left = some.iter().filter(|secret| !others.contains(secret));
            left.map(|secret| secret.id().into()).collect()
        };
        let (dropped, added) = (without(before, now), without(now, before));
        let preferred = now.first().map(Secret::id).unwrap_or_default();
        let mut news = format!("preferred {preferred}");
        for (what, ids) in [("new", &added), ("dropped", &dropped)] {
            if !ids.is_empty() {
                let ids: Vec<_> = ids.iter().map(|id| &**id).collect();
                news = format!("{news}, {what} {}", ids.join(" "));
            }
        }
        self.links
            .update_local(|local| local.secrets = now.to_vec());
        let bulk = self.hub.links();
        bulk.update_local(|local| local.secrets = now.to_vec());
        self.renew(dropped);
        Some(news)
    }

    /// Connections that were made with these secrets are made anew.
    fn renew(&self, dropped: BTreeSet<Arc<str>>) {
        let this = self.this.clone();
        self.arbiter.spawn_fn(move || {
            if let Some(inner) = this.upgrade().filter(|_| !dropped.is_empty()) {
                let control = inner.links.renew(|link| dropped.contains(link.key_id()));
                let bulk = inner
                    .hub
                    .links()
                    .renew(|link| dropped.contains(Connection::key_id(link)));
                tracing::info!(
                    control,
                    bulk,
                    "connections with a dropped secret are made anew"
                );
            }
        });
    }
}
