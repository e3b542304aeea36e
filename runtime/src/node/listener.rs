//! The socket that a node listens on.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::Duration,
};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::{Error, Result, StartError, link::resolve};

/// How long the name of an address to listen on may take to be looked up.
const LOOK_UP: Duration = Duration::from_secs(5);
/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// A listener on `address` (`host:port`; port 0 takes any that is free). A wildcard of IPv6 takes IPv4 as
/// well; where there is no IPv6 it takes IPv4 alone.
pub(super) async fn bind(address: &str) -> Result<TcpListener> {
    let failed = |source| {
        Error::Start(StartError::Listen {
            address: address.to_owned(),
            source,
        })
    };
    let all = match address.parse::<SocketAddr>() {
        Ok(numeric) => vec![numeric],
        Err(_) => named(address)
            .await
            .map_err(|why| failed(io::Error::other(why)))?,
    };
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in all {
        match listen(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
        if address.is_ipv6() && address.ip().is_unspecified() {
            tracing::info!(%address, error = %last, "there is no IPv6 here; listening on IPv4 alone");
            match listen((Ipv4Addr::UNSPECIFIED, address.port()).into()) {
                Ok(listener) => return Ok(listener),
                Err(error) => last = error,
            }
        }
    }
    Err(failed(last))
}

/// What a name, or a link-local address with an interface, stands for.
async fn named(address: &str) -> std::result::Result<Vec<SocketAddr>, String> {
    let parts = address.rsplit_once(':');
    let parts = parts.and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let (host, port) = parts.ok_or("this is not an address; write host:port")?;
    // Any port will do to look it up; 0 is none that could be dialled.
    let mut all = resolve(&format!("{host}:1"), LOOK_UP)
        .await
        .map_err(|error| error.to_string())?;
    for address in &mut all {
        address.set_port(port);
    }
    Ok(all)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    // A node that comes back takes its port again, though connections of before still linger.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        // The system's setting (`net.ipv6.bindv6only`) may be the other one.
        socket.set_only_v6(false)?;
    }
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[actix_rt::test]
    async fn the_wildcard_of_ipv6_takes_ipv4_too() {
        let listener = bind("[::]:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    }

    #[actix_rt::test]
    async fn an_address_that_is_taken_or_none_is_named() {
        let taken = bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap().to_string();
        for wrong in [&*address, "nonsense", "no-such-host.invalid:1"] {
            let error = bind(wrong).await.unwrap_err().to_string();
            assert!(error.contains(wrong), "{error}");
        }
    }
}
