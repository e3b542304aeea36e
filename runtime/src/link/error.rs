//! Why there is no connection, in sentences that a person can act on.

use std::{fmt, io, sync::Arc, time::Duration};

use botzilla_wire as wire;
use thiserror::Error;
use wire::{
    handshake::{HandshakeError, RefusalCode},
    ident::NodeId,
};

/// Why a node couldn't be connected.
#[derive(Debug, Clone, Error)]
pub(crate) enum ConnectError {
    /// The node's own id or address was dialled.
    #[error(
        "{target} is this node itself; it needs no connection to itself, give it the address of another node"
    )]
    SelfDial {
        /// What was dialled.
        target: String,
    },
    /// The node has no endpoint that can be tried from here.
    #[error(
        "node {peer} has no address that can be tried from here; set `advertise` on it, or let it connect to this node"
    )]
    NoEndpoints {
        /// The node.
        peer: NodeId,
    },
    /// This node is shutting down.
    #[error("this node is shutting down and makes no new connections")]
    Stopping,
    /// The caller's deadline came first.
    #[error("no connection to {target} before the deadline{}", Tried(.tried))]
    TimedOut {
        /// What was dialled.
        target: String,
        /// What was tried until then, in order.
        tried: Arc<[Attempt]>,
    },
    /// All addresses failed.
    #[error("no connection to {target}{}", Tried(.tried))]
    Failed {
        /// What was dialled.
        target: String,
        /// What was tried, in order; never empty.
        tried: Arc<[Attempt]>,
    },
}

impl ConnectError {
    /// What was tried, in order.
    pub(crate) fn tried(&self) -> &[Attempt] {
        match self {
            Self::TimedOut { tried, .. } | Self::Failed { tried, .. } => tried,
            Self::SelfDial { .. } | Self::NoEndpoints { .. } | Self::Stopping => &[],
        }
    }

    /// Whether a policy said no, here or there.
    pub(crate) fn is_denied(&self) -> bool {
        self.tried().iter().any(|attempt| {
            matches!(
                attempt.error,
                AttemptError::Denied { .. }
                    | AttemptError::Handshake(HandshakeError::Denied { .. })
            )
        })
    }

    /// Whether trying again is of no use before somebody changes a setting: a secret, a version, an
    /// address. (A peer that isn't there yet is no such case.)
    pub(crate) fn needs_a_person(&self) -> bool {
        match self {
            Self::SelfDial { .. } => true,
            Self::NoEndpoints { .. } | Self::Stopping => false,
            Self::TimedOut { tried, .. } | Self::Failed { tried, .. } => {
                !tried.is_empty() && tried.iter().all(|attempt| attempt.error.needs_a_person())
            }
        }
    }
}

/// One address that was tried in vain.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    /// As it was given.
    pub(crate) address: Arc<str>,
    /// Why it failed.
    pub(crate) error: AttemptError,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.address, self.error)
    }
}

/// Why one address failed.
#[derive(Debug, Clone, Error)]
pub(crate) enum AttemptError {
    /// The text is no address.
    #[error("this is not an address; write host:port, as in 192.168.1.20:6985 or [fd00::20]:6985")]
    BadAddress,
    /// The name has no address.
    #[error(
        "the name could not be looked up ({why}); check its spelling, or write the numeric address"
    )]
    Lookup {
        /// What the system said.
        why: String,
    },
    /// Nothing listens there.
    #[error("connection refused: nothing listens there; start it, or check the port")]
    Refused,
    /// There is no way to the host.
    #[error("unreachable ({why}); check the address and the network")]
    Unreachable {
        /// What the system said.
        why: String,
    },
    /// The host did not answer.
    #[error("no answer to the connection attempt within {}; check the address, the network and the firewall", Seconds(.after))]
    NoAnswer {
        /// How long was waited.
        after: Duration,
    },
    /// Its answer is still waited for.
    #[error("no answer in time; check the address, the network and the firewall")]
    Pending,
    /// The other node was to be asked to dial this one.
    #[error(transparent)]
    Invited(Uninvited),
    /// It was taken, but nothing that makes sense was said in time.
    #[error("connected, but the handshake was not done within {}; is it a botzilla node?", Seconds(.after))]
    HandshakeTooSlow {
        /// How long was waited.
        after: Duration,
    },
    /// It closed the connection in the middle of the handshake.
    #[error(
        "the other side ended the connection during the handshake; it is not a botzilla node, is shutting down, or is overrun by connections"
    )]
    CutShort,
    /// The handshake said no.
    #[error(transparent)]
    Handshake(HandshakeError),
    /// This node's own policy said no.
    #[error(
        "denied by this node's policy: {why}; it isn't the node that was meant, or the policy lacks a rule"
    )]
    Denied {
        /// What the policy says.
        why: String,
    },
    /// Any other failure of the socket.
    #[error("the connection failed ({why})")]
    Socket {
        /// What the system said.
        why: String,
    },
}

/// Why a node that can't be dialled doesn't dial this one.
#[derive(Debug, Clone, Error)]
pub(crate) enum Uninvited {
    /// It was asked to, and can't.
    #[error(
        "the node was asked to dial this one and can't either ({why}): both seem to be behind NAT or a firewall; give one of them an address that the other can reach (a forwarded port and `advertise`, or a VPN)"
    )]
    NeitherWay {
        /// What it tried.
        why: String,
    },
    /// The registry isn't connected to it.
    #[error("the registry isn't connected to the node either; it is gone or cut off")]
    Away,
    /// Nobody could be asked.
    #[error("the registry can't have the node dial this one ({why})")]
    NotAsked {
        /// Why.
        why: String,
    },
}

impl AttemptError {
    pub(super) fn connecting(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::AddrNotAvailable
            | io::ErrorKind::TimedOut => Self::Unreachable {
                why: error.to_string(),
            },
            _ => Self::Socket {
                why: error.to_string(),
            },
        }
    }

    pub(super) fn handshaking(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected => Self::CutShort,
            _ => Self::Socket {
                why: error.to_string(),
            },
        }
    }

    /// Both dialled, and the other connection is kept.
    pub(super) fn is_crossed(&self) -> bool {
        matches!(
            self,
            Self::Handshake(HandshakeError::Refused(RefusalCode::Crossed))
        )
    }

    /// Whether nothing came of it yet.
    pub(crate) fn is_pending(&self) -> bool {
        matches!(self, Self::Pending)
    }

    /// The node that was meant has answered, and said no: it needs no asking whether it dials itself.
    pub(super) fn is_a_no(&self) -> bool {
        match self {
            Self::Denied { .. } => true,
            Self::Handshake(HandshakeError::SelfDial) => false,
            Self::Handshake(_) => self.needs_a_person(),
            _ => false,
        }
    }

    /// The next try may well work, with nobody changing anything.
    pub(super) fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::CutShort
                | Self::Handshake(
                    HandshakeError::TooSlow { .. } | HandshakeError::Refused(RefusalCode::Busy)
                )
        )
    }

    fn needs_a_person(&self) -> bool {
        match self {
            Self::BadAddress | Self::Denied { .. } => true,
            // Said of a node that is about to be known under another id, or to come back.
            Self::Handshake(
                HandshakeError::TooSlow { .. }
                | HandshakeError::WrongNode { .. }
                | HandshakeError::Refused(
                    RefusalCode::Busy | RefusalCode::Crossed | RefusalCode::Stopping,
                ),
            ) => false,
            Self::Handshake(_) => true,
            _ => false,
        }
    }
}

struct Tried<'a>(&'a [Attempt]);

impl fmt::Display for Tried<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => Ok(()),
            [one] => write!(f, ": {one}"),
            many => {
                f.write_str("; tried ")?;
                for (i, attempt) in many.iter().enumerate() {
                    write!(f, "{}{attempt}", if i == 0 { "" } else { ", then " })?;
                }
                Ok(())
            }
        }
    }
}

struct Seconds<'a>(&'a Duration);

impl fmt::Display for Seconds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if millis.is_multiple_of(1000) {
            write!(f, "{} s", millis / 1000)
        } else {
            write!(f, "{millis} ms")
        }
    }
}
