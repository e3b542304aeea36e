//! What every socket between nodes is set to.

use std::io;

use socket2::SockRef;
use tokio::net::TcpStream;

/// How much the kernel may hold that isn't sent yet. What waits beyond it waits in the session,
/// where an urgent message can still pass it.
#[cfg(any(target_os = "android", target_os = "linux"))]
const NOT_SENT: u32 = 64 * 1024;

/// Sends at once, and keeps the kernel from becoming the queue.
pub(super) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(any(target_os = "android", target_os = "linux"))]
    if let Err(error) = SockRef::from(stream).set_tcp_notsent_lowat(NOT_SENT) {
        // Some sandboxes have no such option; the connection works without it.
        tracing::debug!(%error, "TCP_NOTSENT_LOWAT could not be set");
    }
    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    let _ = SockRef::from(stream);
    Ok(())
}
