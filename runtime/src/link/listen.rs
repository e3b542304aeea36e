//! Taking connections, and letting few strangers in at a time.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Weak},
    time::Duration,
};

use botzilla_wire as wire;
use tokio::{
    net::{TcpListener, TcpStream},
    task::AbortHandle,
    time::{sleep, timeout},
};
use wire::{
    handshake::{HandshakeError, RefusalCode},
    ident::Lane,
    limits::Limits,
};

use super::{
    error::AttemptError,
    handshake::{self, Candidate},
    lane::{Carrier, Socket},
    socket,
    table::Links,
};

/// How long accepting pauses when the process or the system has run out of something.
const PAUSE: Duration = Duration::from_millis(200);

/// Connections that are accepted in one turn. Whoever they push out ends in a turn of his own: were all
/// who wait accepted in one, they would hold descriptors beyond the bound, and the thread.
const IN_A_ROW: u32 = 8;

/// Connections that have not proven themselves. A newcomer pushes out the oldest, so silent ones
/// keep nobody out for longer than a handshake takes.
#[derive(Default)]
pub(super) struct Unproven {
    next: u64,
    entries: VecDeque<Entry>,
}

struct Entry {
    id: u64,
    address: IpAddr,
    abort: Option<AbortHandle>,
}

impl Unproven {
    /// Makes room for one from `address` and takes it in.
    fn enter(&mut self, address: IpAddr, limits: &Limits) -> u64 {
        let same = self
            .entries
            .iter()
            .filter(|entry| entry.address == address)
            .count();
        if same >= limits.unproven_per_address.max(1) {
            let oldest = self
                .entries
                .iter()
                .position(|entry| entry.address == address);
            self.push_out(oldest.unwrap_or_default());
        } else if self.entries.len() >= limits.unproven.max(1) {
            self.push_out(0);
        }
        let id = self.next;
        self.next += 1;
        self.entries.push_back(Entry {
            id,
            address,
            abort: None,
        });
        id
    }

    fn push_out(&mut self, index: usize) {
        if let Some(abort) = self.entries.remove(index).and_then(|entry| entry.abort) {
            abort.abort();
        }
    }

    fn set_abort(&mut self, id: u64, abort: AbortHandle) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == id) {
            entry.abort = Some(abort);
        }
    }

    fn leave(&mut self, id: u64) {
        self.entries.retain(|entry| entry.id != id);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// Accepts until the links are gone or the task is aborted.
pub(super) async fn accept_all(links: Weak<Links>, listener: TcpListener) {
    let (mut paused, mut in_a_row) = (false, 0);
    loop {
        let accepted = listener.accept().await;
        let Some(links) = links.upgrade() else { return };
        match accepted {
            Ok((stream, address)) => {
                if std::mem::take(&mut paused) {
                    tracing::info!("accepting connections again");
                }
                links.welcome(stream, address);
                drop(links);
                in_a_row += 1;
                if in_a_row == IN_A_ROW {
                    in_a_row = 0;
                    tokio::task::yield_now().await;
                }
            }
            Err(error) if is_of_one_connection(&error) => {
                tracing::debug!(%error, "a connection ended before it was accepted");
            }
            Err(error) => {
                // The listener stays ready, so trying again at once would spin.
                if !std::mem::replace(&mut paused, true) {
                    tracing::warn!(%error, "accepting connections is paused; too many open files? raise `ulimit -n`");
                }
                drop(links);
                sleep(PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

impl Links {
    fn welcome(self: &Arc<Self>, stream: TcpStream, address: SocketAddr) {
        // One host is one address, in whichever notation its packets came.
        let id = self
            .unproven
            .lock()
            .enter(address.ip().to_canonical(), &self.local().limits);
        let links = Arc::downgrade(self);
        let abort = self.spawn(prove(links, id, stream, address));
        match abort {
            Some(abort) => self.unproven.lock().set_abort(id, abort),
            None => self.unproven.lock().leave(id),
        }
    }
}

async fn prove(links: Weak<Links>, id: u64, mut stream: TcpStream, address: SocketAddr) {
    let Some(local) = links.upgrade().map(|links| links.local()) else {
        return;
    };
    let time = local.limits.handshake_time;
    let candidate = timeout(time, async {
        socket::tune(&stream, Lane::Control).map_err(|error| AttemptError::handshaking(&error))?;
        handshake::accept(&mut stream, &local).await
    });
    let candidate = candidate
        .await
        .unwrap_or(Err(AttemptError::HandshakeTooSlow { after: time }));
    let Some(links) = links.upgrade() else { return };
    // From here on nobody pushes it out: what follows happens at once.
    links.unproven.lock().leave(id);
    let candidate = match candidate {
        Ok(candidate) => candidate,
        Err(AttemptError::Handshake(error)) => return log_refusal(address, &error),
        Err(error) => {
            tracing::debug!(%address, %error, "a connection did not prove itself");
            return;
        }
    };
    match candidate.proven.lane {
        Lane::Control => settle(links, candidate, stream, address).await,
        Lane::Bulk => {
            let bulk = links.carrier.host.upgrade().and_then(|host| host.bulk());
            drop(links);
            match bulk {
                Some(bulk) => settle(bulk, candidate, stream, address).await,
                None => refuse(candidate, stream, RefusalCode::Denied, time).await,
            }
        }
    }
}

/// Says yes or no to a dialler that has proven itself.
async fn settle<C: Carrier>(
    links: Arc<Links<C>>,
    candidate: Candidate,
    stream: TcpStream,
    address: SocketAddr,
) {
    let time = links.local().limits.handshake_time;
    let handed_over = links.until_handed_over(candidate.proven.peer);
    // A peer that hasn't handed over by then has lost what was on its way, as with any that is replaced.
    let _ = timeout(time, handed_over).await;
    match links.decide(&candidate.proven) {
        Ok(()) => {
            let (established, first, input) = candidate.accept();
            let socket = Socket {
                stream,
                first,
                input,
            };
            links.install(established, socket, address, None);
        }
        Err(code) => {
            tracing::debug!(%address, peer = %candidate.proven.peer, ?code, "a connection was refused");
            let time = links.local().limits.handshake_time;
            drop(links);
            refuse(candidate, stream, code, time).await;
        }
    }
}

async fn refuse(candidate: Candidate, mut stream: TcpStream, code: RefusalCode, time: Duration) {
    let _ = timeout(time, candidate.refuse(&mut stream, code)).await;
}

fn log_refusal(address: SocketAddr, error: &HandshakeError) {
    // Anybody can cause it, so it is no warning.
    tracing::info!(%address, %error, "a connection was refused in the handshake");
}
