//! Going down: refuse what is new, drain, cut at the deadline, report.

use std::{
    fmt,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use super::{Node, Phase, is_public};
use crate::{
    deadline::AS_LONG_AS_CAN_BE,
    hosted::{Hosted, Status},
};

/// How long what was cut at the deadline may take to notice.
const GRACE: Duration = Duration::from_millis(300);

/// What a shutdown found and did. Every component is in one of the three lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Components that finished their queue and stopped.
    pub drained: Vec<String>,
    /// Components whose running handler was dropped, or whose queue was refused, at the deadline.
    pub cut: Vec<String>,
    /// Components that couldn't be stopped: those that hold their thread, and, if that is the
    /// node's own, all others that hadn't ended by then, since theirs can't be told apart.
    pub stuck: Vec<String>,
    /// Queued messages that were refused as stopped.
    pub refused: u64,
    /// Messages of this node that ended as disconnected.
    pub unanswered: u64,
    /// Messages of other nodes that got no outcome from this one.
    pub owed: u64,
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} components drained, {} cut, {} stuck; {} messages refused, {} unanswered, {} owed",
            self.drained.len(),
            self.cut.len(),
            self.stuck.len(),
            self.refused,
            self.unanswered,
            self.owed
        )
    }
}

impl Node {
    /// Ends the node within `time` and a little: takes nothing new, lets queues drain, cuts what is
    /// left at the deadline, and says what became of everything. Nothing of the node outlives it but
    /// threads that a component blocks; the report names these. Late replies aren't waited for, see
    /// [`Ctx::reply_later`](crate::Ctx::reply_later).
    pub async fn shutdown(&self, time: Duration) -> ShutdownReport {
        let time = time.min(AS_LONG_AS_CAN_BE);
        let deadline = Instant::now() + time;
        let (done, report) = tokio::sync::oneshot::channel();
        let (alive, watched) = mpsc::channel::<()>();
        let node = self.clone();
        let began = self.0.arbiter.spawn_fn(move || {
            actix_rt::spawn(async move {
                let report = node.go_down(deadline).await;
                drop(done.send(report));
                drop(alive);
            });
        });
        if !began {
            return ShutdownReport::default();
        }
        // A component may block the node's thread for ever; then this is what still ends in time.
        let (gave_up, given_up) = tokio::sync::oneshot::channel::<Vec<Arc<Hosted>>>();
        let patience = time + GRACE * 3;
        let watch = std::thread::Builder::new().name("botzilla-shutdown".to_owned());
        let node = self.clone();
        let watching = watch.spawn(move || {
            let timeout = Err(mpsc::RecvTimeoutError::Timeout);
            if watched.recv_timeout(patience) == timeout {
                // Those with a thread of their own can still be cut, and take a moment for it.
                let left = node.0.hosted();
                left.iter().for_each(|hosted| hosted.order_cut());
                if watched.recv_timeout(GRACE) == timeout {
                    let _ = gave_up.send(left);
                }
            }
        });
        tokio::select! {
            report = report => report.unwrap_or_default(),
            Ok(left) = given_up, if watching.is_ok() => self.report_stuck(&left),
        }
    }

    /// Runs until a signal asks the process to end (Ctrl-C, or SIGTERM), or [`Node::shutdown`] was
    /// called; then shuts down within 5 s. If a component blocks the thread that this runs on, so that
    /// it can't return, the process is ended a moment later, with exit code 2.
    ///
    /// # Errors
    ///
    /// [`Error::Escalated`](crate::Error::Escalated): a component that the node can't do without couldn't be kept
    /// alive, and so the node was shut down. Or signals can't be waited for.
    pub async fn until_shutdown(&self) -> crate::Result<()> {
        let (failed, failure) = tokio::sync::oneshot::channel();
        let (returned, returns) = mpsc::channel();
        let node = self.clone();
        // Not on the node's thread: a component may block it, and then no signal would be heard.
        std::thread::Builder::new()
            .name("botzilla-signals".to_owned())
            .spawn(move || node.heed_signals(failed, &returns))?;
        let outcome = tokio::select! {
            () = self.0.stopping.cancelled() => {
                self.0.stopped.cancelled().await;
                self.escalation().map_or(Ok(()), |escalation| Err(escalation.into()))
            }
            Ok(error) = failure => Err(std::io::Error::into(error)),
        };
        drop::<mpsc::Sender<()>>(returned);
        outcome
    }

    /// Shuts the node down at a signal, or when it can't do without a component, unless nobody waits for that any more.
    fn heed_signals(
        &self,
        mut failed: tokio::sync::oneshot::Sender<std::io::Error>,
        returns: &mpsc::Receiver<()>,
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = match runtime.enable_io().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(failed.send(error)),
        };
        let signalled = runtime.block_on(async {
            tokio::select! {
                () = failed.closed() => None,
                () = self.0.escalated.cancelled() => Some(Ok(())),
                signalled = signal() => Some(signalled),
            }
        });
        match signalled {
            None => return,
            Some(Err(error)) => return drop(failed.send(error)),
            Some(Ok(())) => {}
        }
        let report = runtime.block_on(self.shutdown(Duration::from_secs(5)));
        tracing::info!(%report, "shut down");
        // Who waits may be on the very thread that is blocked: nothing else would end the process,
        // which the signal did until this took it over.
        let timeout = Err(mpsc::RecvTimeoutError::Timeout);
        if !report.stuck.is_empty() && returns.recv_timeout(GRACE * 3) == timeout {
            tracing::error!(stuck = %report.stuck.join(" "), "a thread is blocked; the process is ended");
            std::process::exit(i32::from(crate::program::FAILED));
        }
    }

    async fn go_down(&self, deadline: Instant) -> ShutdownReport {
        let inner = &self.0;
        let Some(components) = self.refuse_new() else {
            // Somebody else takes it down already.
            inner.stopped.cancelled().await;
            return ShutdownReport::default();
        };
        inner.stopping.cancel();
        inner.moved();
        if inner.directory.status().borrow().in_touch {
            // A registry that doesn't answer must not eat the time for draining.
            let half = deadline.saturating_duration_since(Instant::now()) / 2;
            if let Err(error) = inner.directory.leave(self, half).await {
                tracing::debug!(%error, "the registry wasn't told; the leases tell it");
            }
        }
        let mut report = ShutdownReport::default();
        components.iter().for_each(|hosted| hosted.order_stop());
        let drained = async {
            for hosted in &components {
                hosted.ended().await;
            }
        };
        let in_time = inner.deadlines.within(deadline, drained).await.is_ok();
        let hung = |hosted: &&Arc<Hosted>| !in_time && !matches!(hosted.status(), Status::Ended(_));
        let cut: Vec<_> = components.iter().filter(hung).cloned().collect();
        for hosted in &cut {
            hosted.close("its node shut down");
            hosted.order_cut();
        }
        let grace = Instant::now() + GRACE;
        for hosted in &cut {
            // Who doesn't notice in that time holds its thread.
            let _ = inner.deadlines.within(grace, hosted.ended()).await;
        }
        report.count(&components, &cut);
        inner.hub.stop();
        let until = deadline.max(Instant::now() + GRACE);
        let (links, _) = tokio::join!(
            inner.links.shutdown(until),
            inner.hub.links().shutdown(until)
        );
        inner.hub.links().end_thread().await;
        report.unanswered = links.open as u64;
        report.owed = links.owed as u64;
        inner
            .components
            .write()
            .drain()
            .for_each(|(_, hosted)| hosted.forget());
        inner.conduits.lock().clear();
        inner.threads.lock().drain(..).for_each(|arbiter| {
            arbiter.stop();
        });
        inner.watchers.end();
        inner.stopped.cancel();
        report
    }

    /// From here on nothing new is spawned; all that was, or `None` if that was so before.
    fn refuse_new(&self) -> Option<Vec<Arc<Hosted>>> {
        // Under the lock that a spawn takes: whoever comes later is refused.
        let components = self.0.components.write();
        let mut phase = self.0.phase.lock();
        if *phase == Phase::Stopping {
            return None;
        }
        *phase = Phase::Stopping;
        Some(components.values().cloned().collect())
    }

    /// The node's own thread is held by a component: what is known from outside.
    fn report_stuck(&self, left: &[Arc<Hosted>]) -> ShutdownReport {
        let mut report = ShutdownReport::default();
        left.iter()
            .for_each(|hosted| hosted.close("its node shut down"));
        report.count(left, left);
        for link in self.0.links.all() {
            report.unanswered += link.open() as u64;
            report.owed += link.owed() as u64;
        }
        self.0.threads.lock().drain(..).for_each(|arbiter| {
            arbiter.stop();
        });
        self.0.stopping.cancel();
        self.0.watchers.end();
        self.0.stopped.cancel();
        report
    }
}

impl ShutdownReport {
    /// What became of each component, those in `cut` having been told to stop at once.
    fn count(&mut self, components: &[Arc<Hosted>], cut: &[Arc<Hosted>]) {
        for hosted in components {
            self.refused += hosted.refused();
            if !is_public(&hosted.name) {
                continue;
            }
            let list = if !matches!(hosted.status(), Status::Ended(_)) {
                &mut self.stuck
            } else if hosted.refused() > 0 || cut.iter().any(|one| Arc::ptr_eq(one, hosted)) {
                &mut self.cut
            } else {
                &mut self.drained
            };
            list.push(hosted.name.to_string());
        }
        for list in [&mut self.drained, &mut self.cut, &mut self.stuck] {
            list.sort_unstable();
        }
    }
}

#[cfg(unix)]
async fn signal() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn signal() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}
