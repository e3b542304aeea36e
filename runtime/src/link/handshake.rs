//! The handshake over a socket, on either side.

use std::{future::Future, io, time::Instant};

use botzilla_wire as wire;
use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use wire::{
    handshake::{Acceptor, Dialler, Established, Local, Proven, RefusalCode},
    ident::{ConnectionId, NodeId},
};

use super::error::AttemptError;

/// A nonce of the handshake.
fn nonce() -> Result<[u8; 32], AttemptError> {
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).map_err(|error| AttemptError::Socket {
        why: format!("no random numbers: {error}"),
    })?;
    Ok(nonce)
}

/// Whom a dialler means, and what it had with it before.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Meant {
    pub(super) peer: Option<NodeId>,
    pub(super) replaces: Option<ConnectionId>,
}

/// Proves itself to who listens; `proving` is waited for right before the proof leaves, from when on the
/// other side may accept. What was read beyond the handshake comes along.
pub(super) async fn dial(
    stream: &mut TcpStream,
    local: &Local,
    meant: Meant,
    proving: impl Future<Output = ()>,
) -> Result<(Established, BytesMut), AttemptError> {
    let mut dialler = Dialler::new(local, meant.peer, meant.replaces, nonce()?, Instant::now());
    let mut input = BytesMut::with_capacity(local.limits.handshake_bytes);
    let socket = |error: io::Error| AttemptError::handshaking(&error);
    let (mut hello, mut proving) = (true, Some(proving));
    loop {
        if !std::mem::take(&mut hello)
            && let Some(proving) = proving.take()
        {
            proving.await;
        }
        while let Some(bytes) = dialler.poll_transmit() {
            stream.write_all(&bytes).await.map_err(socket)?;
        }
        if stream.read_buf(&mut input).await.map_err(socket)? == 0 {
            return Err(AttemptError::CutShort);
        }
        match dialler.receive(Instant::now(), &mut input) {
            Ok(Some(established)) => return Ok((established, input)),
            Ok(None) => {}
            Err(error) => {
                while let Some(bytes) = dialler.poll_transmit() {
                    // A last word; the error stands whether it arrives or not.
                    let _ = stream.write_all(&bytes).await;
                }
                return Err(AttemptError::Handshake(error));
            }
        }
    }
}

/// Has a node say who it is, and proves nothing to it. An error: it isn't there, or another is.
pub(super) async fn greet(
    stream: &mut TcpStream,
    local: &Local,
    peer: NodeId,
) -> Result<(), AttemptError> {
    let mut dialler = Dialler::new(local, Some(peer), None, nonce()?, Instant::now());
    let mut input = BytesMut::with_capacity(local.limits.handshake_bytes);
    let socket = |error: io::Error| AttemptError::handshaking(&error);
    while let Some(bytes) = dialler.poll_transmit() {
        stream.write_all(&bytes).await.map_err(socket)?;
    }
    // Once its hello was taken, what would leave next is the proof.
    while dialler.poll_transmit().is_none() {
        if stream.read_buf(&mut input).await.map_err(socket)? == 0 {
            return Err(AttemptError::CutShort);
        }
        dialler
            .receive(Instant::now(), &mut input)
            .map_err(AttemptError::Handshake)?;
    }
    Ok(())
}

/// A dialler that has proven itself and waits for a yes or no.
pub(super) struct Candidate {
    acceptor: Acceptor,
    pub(super) proven: Proven,
    input: BytesMut,
}

/// Has who dialled prove itself.
pub(super) async fn accept(
    stream: &mut TcpStream,
    local: &Local,
) -> Result<Candidate, AttemptError> {
    let mut acceptor = Acceptor::new(local, nonce()?, Instant::now());
    let mut input = BytesMut::with_capacity(local.limits.handshake_bytes);
    let socket = |error: io::Error| AttemptError::handshaking(&error);
    loop {
        if stream.read_buf(&mut input).await.map_err(socket)? == 0 {
            return Err(AttemptError::CutShort);
        }
        match acceptor.receive(Instant::now(), &mut input) {
            Ok(Some(proven)) => {
                return Ok(Candidate {
                    acceptor,
                    proven,
                    input,
                });
            }
            Ok(None) => {
                while let Some(bytes) = acceptor.poll_transmit() {
                    stream.write_all(&bytes).await.map_err(socket)?;
                }
            }
            Err(error) => {
                while let Some(bytes) = acceptor.poll_transmit() {
                    let _ = stream.write_all(&bytes).await;
                }
                finish_writing(stream).await;
                return Err(AttemptError::Handshake(error));
            }
        }
    }
}

impl Candidate {
    /// Yes: the connection, its first bytes to be written, and what was read beyond the handshake.
    pub(super) fn accept(mut self) -> (Established, Bytes, BytesMut) {
        let established = self.acceptor.accept();
        let mut first = BytesMut::new();
        while let Some(bytes) = self.acceptor.poll_transmit() {
            first.extend_from_slice(&bytes);
        }
        (established, first.freeze(), self.input)
    }

    /// No.
    pub(super) async fn refuse(mut self, stream: &mut TcpStream, why: RefusalCode) {
        self.acceptor.refuse(why);
        while let Some(bytes) = self.acceptor.poll_transmit() {
            let _ = stream.write_all(&bytes).await;
        }
        finish_writing(stream).await;
    }
}

/// Ends an established connection that isn't wanted.
pub(super) async fn leave(stream: &mut TcpStream, goodbye: &[u8]) {
    if stream.write_all(goodbye).await.is_ok() {
        finish_writing(stream).await;
    }
}

/// Ends our direction and waits for the end of the other's: a socket that is closed with unread
/// bytes takes what was written last down with it. The caller bounds the time.
async fn finish_writing(stream: &mut TcpStream) {
    if stream.shutdown().await.is_ok() {
        let mut rest = [0; 256];
        // At most as much again as a handshake may have; who sends more hears no reason.
        for _ in 0..8 {
            match stream.read(&mut rest).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
    }
}
