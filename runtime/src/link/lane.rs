//! What tells the lanes' connections apart, for the table that keeps one a peer and dials it.

use std::{
    net::SocketAddr,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use botzilla_wire as wire;
use bytes::{Buf, Bytes, BytesMut};
use tokio::net::TcpStream;
use wire::{
    code::CloseReason,
    handshake::{Established, Mode},
    ident::{ConnectionId, Lane, NodeId},
    limits::Limits,
    output::Output,
    session::Session,
};

use super::{
    Host, Invitation, Link,
    connection::Remains,
    driver::Driver,
    table::{Links, LinksReport},
};
use crate::ticket::Ticket;

/// A socket whose handshake is done.
pub(crate) struct Socket {
    pub(super) stream: TcpStream,
    /// The handshake's last message, to be written before all else.
    pub(super) first: Bytes,
    /// What was read beyond the handshake.
    pub(super) input: BytesMut,
}

/// One established connection of any lane.
pub(crate) trait Connection: Send + Sync + 'static {
    /// What was open on it when it ended.
    type Remains;

    fn id(&self) -> ConnectionId;
    fn peer(&self) -> NodeId;
    fn peer_address(&self) -> SocketAddr;
    /// Whether this side dialled.
    fn dialled(&self) -> bool;
    /// How its records are protected.
    fn mode(&self) -> Mode;
    /// The id of the secret that both sides have proven to hold.
    fn key_id(&self) -> &Arc<str>;
    /// Whether it can still be used.
    fn is_open(&self) -> bool;
    fn last_heard(&self) -> Instant;
    /// Whether it stays when nothing is open on it.
    fn keep(&self, keep: bool);
    /// Closes it for good as soon as nothing is open in either direction.
    fn drain(&self);
    /// Nothing begins on it any more, and it ends once nothing is open: another takes its place.
    fn retire(&self);
    /// Whether the peer, too, begins nothing on it any more, and all that it has begun is here.
    fn is_handed_over(&self) -> bool;
    /// Closes it after what waits to be written.
    fn close(&self, why: CloseReason);
    /// Ends it as far as everybody but its driver is concerned. None if it had ended.
    fn end(&self, why: &str) -> Option<Self::Remains>;
}

/// What a lane does with its connections.
pub(crate) trait Carrier: Sized + Send + Sync + 'static {
    const LANE: Lane;
    /// A connection that ends sooner than this counts as a dial that failed.
    const SETTLED: Duration;
    type Link: Connection;

    fn link(
        established: Established,
        limits: &Limits,
        address: SocketAddr,
        kept: bool,
    ) -> Self::Link;
    /// The bytes that end an established connection at once, and say why.
    fn goodbye(established: Established, limits: &Limits, why: &str) -> Bytes;
    /// Has its driver run, for as long as the connection lives.
    fn drive(links: &Arc<Links<Self>>, link: &Arc<Self::Link>, socket: Socket);
    /// It is there, and the current one of its peer.
    fn up(&self, link: &Arc<Self::Link>);
    /// What was open on it.
    fn open(remains: &<Self::Link as Connection>::Remains) -> LinksReport;
    /// Has a node that can't be dialled asked to dial this one, if there is a way to ask it.
    fn invite(&self, _peer: NodeId) -> Option<Invitation> {
        None
    }
    /// It has ended.
    fn down(&self, link: &Arc<Self::Link>, why: &str, remains: <Self::Link as Connection>::Remains);
}

/// Messages and replies.
pub(crate) struct Control {
    pub(super) host: Weak<dyn Host>,
}

impl Carrier for Control {
    const LANE: Lane = Lane::Control;
    const SETTLED: Duration = Duration::ZERO;
    type Link = Link;

    fn link(established: Established, limits: &Limits, address: SocketAddr, kept: bool) -> Link {
        Link::new(established, limits, address, kept, Instant::now())
    }

    fn goodbye(established: Established, limits: &Limits, why: &str) -> Bytes {
        let now = Instant::now();
        let mut session: Session<Ticket> = Session::new(established, limits, now);
        session.close_with(CloseReason::Denied, why);
        let mut output = Output::new();
        session.poll_transmit(now, &mut output);
        output.copy_to_bytes(output.len())
    }

    fn drive(links: &Arc<Links<Self>>, link: &Arc<Link>, socket: Socket) {
        let (weak, host) = (Arc::downgrade(links), links.carrier.host.clone());
        let driver = Driver::new(Arc::clone(link), weak, host, socket, &links.local().limits);
        // Should the tasks be gone, the driver is dropped and with it the connection ends.
        links.spawn(driver);
    }

    fn up(&self, link: &Arc<Link>) {
        if let Some(host) = self.host.upgrade() {
            host.up(link);
        }
    }

    fn invite(&self, peer: NodeId) -> Option<Invitation> {
        self.host.upgrade()?.invite(peer)
    }

    fn open(remains: &Remains) -> LinksReport {
        LinksReport {
            cut: 0,
            open: remains.open(),
            owed: remains.owed(),
        }
    }

    fn down(&self, link: &Arc<Link>, why: &str, remains: Remains) {
        let counters = remains.end();
        if let Some(host) = self.host.upgrade() {
            host.down(link, why);
            host.counted(link.peer(), counters);
        }
    }
}

impl Connection for Link {
    type Remains = Remains;

    fn id(&self) -> ConnectionId {
        Self::id(self)
    }

    fn peer(&self) -> NodeId {
        Self::peer(self)
    }

    fn peer_address(&self) -> SocketAddr {
        Self::peer_address(self)
    }

    fn dialled(&self) -> bool {
        Self::dialled(self)
    }

    fn mode(&self) -> Mode {
        Self::mode(self)
    }

    fn key_id(&self) -> &Arc<str> {
        Self::key_id(self)
    }

    fn is_open(&self) -> bool {
        Self::is_open(self)
    }

    fn last_heard(&self) -> Instant {
        Self::last_heard(self)
    }

    fn keep(&self, keep: bool) {
        Self::keep(self, keep);
    }

    fn drain(&self) {
        Self::drain(self);
    }

    fn retire(&self) {
        Self::retire(self);
    }

    fn is_handed_over(&self) -> bool {
        Self::is_handed_over(self)
    }

    fn close(&self, why: CloseReason) {
        Self::close(self, why);
    }

    fn end(&self, why: &str) -> Option<Remains> {
        Self::end(self, why)
    }
}
