//! The thread of the bulk lane: it starts with the node's first stream to or from another node.

use std::future::Future;

use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::oneshot};

/// One thread for all bulk connections of a node, or none yet.
#[derive(Default)]
pub(super) struct LaneThread(Mutex<State>);

#[derive(Default)]
enum State {
    #[default]
    NotYet,
    Running(Running),
    Ended,
}

struct Running {
    handle: Handle,
    /// Dropped, the thread ends.
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
}

impl LaneThread {
    /// Runs a future there. False: it has ended, or can't be started.
    pub(super) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> bool {
        let mut state = self.0.lock();
        if matches!(*state, State::NotYet) {
            match start() {
                Ok(running) => *state = State::Running(running),
                Err(error) => {
                    tracing::error!(%error, "the thread for streams can't be started");
                }
            }
        }
        let State::Running(running) = &*state else {
            return false;
        };
        // Its owner is the runtime, which ends with the thread.
        drop(running.handle.spawn(future));
        true
    }

    /// Ends it, with all that it runs.
    pub(super) async fn end(&self) {
        let state = std::mem::replace(&mut *self.0.lock(), State::Ended);
        if let State::Running(Running { stop, ended, .. }) = state {
            drop(stop);
            // Either way it is over.
            let _ = ended.await;
        }
    }
}

fn start() -> std::io::Result<Running> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let handle = runtime.handle().clone();
    let (stop, stopped) = oneshot::channel::<()>();
    let (end, ended) = oneshot::channel::<()>();
    let thread = std::thread::Builder::new().name("botzilla-streams".to_owned());
    thread.spawn(move || {
        // Nobody says anything: it is the end of the one who could that counts.
        let _ = runtime.block_on(stopped);
        drop(runtime);
        drop(end);
    })?;
    Ok(Running {
        handle,
        stop,
        ended,
    })
}
