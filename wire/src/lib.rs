//! Botzilla's wire protocol, sans-IO: bytes and `now` in, events and bytes out.

pub mod encoding;
pub mod fingerprint;
pub mod handshake;
pub mod ident;
pub mod keys;
pub mod limits;
pub mod secret;
