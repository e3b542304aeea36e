//! Botzilla's wire protocol, sans-IO: bytes and `now` in, events and bytes out.
//!
//! ```text
//!   payloads      encoding, fingerprint          what messages are made of
//!   sessions      session, route, code           who asks whom, credit, outcomes
//!                 stream                         who publishes what to whom, on the bulk lane
//!   frames        frame, coding                  what a session says
//!   records       link, record, output, keys     frames, authenticated
//!                 noise                          frames, encrypted
//!   handshakes    handshake, secret, keyring     who is there, and with what keys
//!   ground        ident, limits, error
//! ```
//!
//! It knows nothing of tokio, actix, components or the registry, does no I/O and reads no clock:
//! so it can be fuzzed, simulated, and written again in another language from PROTOCOL.md.

pub mod code;
pub mod coding;
pub mod encoding;
pub mod error;
pub mod fingerprint;
mod flow;
pub mod frame;
pub mod handshake;
pub mod ident;
pub mod keyring;
pub mod keys;
pub mod limits;
mod link;
mod noise;
pub mod output;
pub mod record;
pub mod route;
pub mod secret;
pub mod session;
pub mod stream;
mod text;

pub use crate::{
    code::{CloseReason, Code, EndCode, Failure},
    encoding::{Blob, Encoding},
    ident::{ConnectionId, Lane, Name, NodeId},
    keyring::Keyring,
    limits::Limits,
    secret::Secret,
    session::Kind,
};
