//! When this host's addresses become others.

#[cfg(target_os = "linux")]
pub(crate) use self::linux::AddressChanges;
#[cfg(not(target_os = "linux"))]
pub(crate) use self::others::AddressChanges;

/// The kernel tells by rtnetlink: nothing is asked now and then.
#[cfg(target_os = "linux")]
mod linux {
    use std::{io, os::fd::OwnedFd};

    use rustix::net::{
        AddressFamily, RecvFlags, SocketFlags, SocketType, bind, netlink::SocketAddrNetlink, recv,
        socket_with,
    };
    use tokio::io::unix::AsyncFd;

    /// Addresses of IPv4 and of IPv6: `RTMGRP_IPV4_IFADDR` and `RTMGRP_IPV6_IFADDR` of `linux/rtnetlink.h`.
    const GROUPS: u32 = 0x10 | 0x100;

    /// What has changed is looked at afresh: a message says only that something has.
    pub(crate) struct AddressChanges(AsyncFd<OwnedFd>);

    impl AddressChanges {
        #[expect(
            deprecated,
            reason = "its successor is unsafe, for descriptors that are closed while they are waited for; \
                      this one is owned"
        )]
        pub(crate) fn open() -> io::Result<Self> {
            // The family's protocol 0 is routing, with interfaces and addresses.
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
            bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
            Ok(Self(AsyncFd::new(socket)?))
        }

        /// Waits for the next change, and takes in all that have come.
        ///
        /// # Errors
        ///
        /// If the socket can't be used any more.
        pub(crate) async fn next(&mut self) -> io::Result<()> {
            let mut buffer = [0_u8; 4096];
            let mut has_come = false;
            loop {
                let mut ready = self.0.readable().await?;
                let read = ready.try_io(|socket| {
                    Ok(recv(socket.get_ref(), &mut buffer[..], RecvFlags::empty())?)
                });
                match read {
                    Ok(Ok(_)) => has_come = true,
                    // More came than it holds: something has changed, whatever it was.
                    Ok(Err(error)) if is_overrun(&error) => has_come = true,
                    Ok(Err(error)) => return Err(error),
                    Err(_) if has_come => return Ok(()),
                    Err(_) => {}
                }
            }
        }
    }

    fn is_overrun(error: &io::Error) -> bool {
        error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error())
    }
}

/// Elsewhere what has changed is told at the next connection to the registry.
#[cfg(not(target_os = "linux"))]
mod others {
    use std::io;

    pub(crate) struct AddressChanges;

    impl AddressChanges {
        pub(crate) fn open() -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(crate) async fn next(&mut self) -> io::Result<()> {
            std::future::pending().await
        }
    }
}
