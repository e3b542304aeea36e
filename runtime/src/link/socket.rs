//! What every socket between nodes is set to.

use std::io;

use botzilla_wire::Lane;
use socket2::SockRef;
use tokio::net::TcpStream;

/// How much the kernel may hold that isn't sent yet. What waits beyond it waits in the session,
/// where an urgent message can still pass it.
#[cfg(any(target_os = "android", target_os = "linux"))]
const NOT_SENT: u32 = 64 * 1024;

/// The same on the bulk lane, whose records are four times as long.
#[cfg(any(target_os = "android", target_os = "linux"))]
const NOT_SENT_BULK: u32 = 4 * NOT_SENT;

/// Sends at once, and keeps the kernel from becoming the queue. (`TCP_USER_TIMEOUT` isn't set: it ends a
/// connection too whose other side doesn't read for that long, which bounds answer without an end; and
/// silence is found by pings, and told by a reset.)
pub(super) fn tune(stream: &TcpStream, lane: Lane) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(any(target_os = "android", target_os = "linux"))]
    let not_sent = match lane {
        Lane::Control => NOT_SENT,
        Lane::Bulk => NOT_SENT_BULK,
    };
    #[cfg(any(target_os = "android", target_os = "linux"))]
    if let Err(error) = SockRef::from(stream).set_tcp_notsent_lowat(not_sent) {
        // Some sandboxes have no such option; the connection works without it.
        tracing::debug!(%error, "TCP_NOTSENT_LOWAT could not be set");
    }
    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    let _ = (SockRef::from(stream), lane);
    Ok(())
}
