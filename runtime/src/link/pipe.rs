//! A connection's socket and what lies between it and the session: the same on every lane.

use std::{
    future::Future,
    io,
    pin::pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use botzilla_wire::output::Output;
use bytes::{Buf, Bytes, BytesMut};
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::lane::Socket;

/// The read buffer grows from this.
const READ_MIN: usize = 4 * 1024;
/// What there is room for at the least, once it has grown.
const READ_ROOM: usize = 64 * 1024;
/// Bytes a second of a record that is under way, at the least; pings alone are fewer.
const STUCK_RATE: f64 = 256.0;

/// How a connection ended.
pub(super) struct End {
    pub(super) why: String,
}

impl End {
    pub(super) fn cut(why: impl Into<String>) -> Self {
        Self { why: why.into() }
    }
}

/// A socket, what was read from it and not understood yet, and what waits to be written to it.
pub(super) struct Pipe {
    stream: TcpStream,
    /// The handshake's last message, before all else.
    first: Bytes,
    pub(super) input: BytesMut,
    pub(super) output: Output,
    read_size: usize,
    read_max: usize,
    /// Reads since the buffer was last used well.
    small_reads: u8,
    /// Since when the input has been the same part of a record, and how much of it there was.
    partial: Option<(Instant, usize)>,
}

impl Pipe {
    pub(super) fn new(socket: Socket, read_max: usize) -> Self {
        let Socket {
            stream,
            first,
            input,
        } = socket;
        Self {
            stream,
            first,
            input,
            output: Output::new(),
            read_size: READ_MIN,
            read_max,
            small_reads: 0,
            partial: None,
        }
    }

    /// Reads once. How many bytes came.
    pub(super) fn read(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, End>> {
        // To reserve moves the part of a record that is there: not for each piece that follows of it.
        if self.input.capacity() - self.input.len() < self.read_size.min(READ_ROOM) {
            self.input.reserve(self.read_size);
        }
        let room = self.input.capacity() - self.input.len();
        let read = pin!(self.stream.read_buf(&mut self.input)).poll(cx);
        let count = match read {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(0)) => {
                let why = "the other side ended the connection without closing it";
                return Poll::Ready(Err(End::cut(why)));
            }
            Poll::Ready(Ok(count)) => count,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(failed("reading", &error))),
        };
        if count >= room {
            self.read_size = (self.read_size * 2).min(self.read_max);
            self.small_reads = 0;
        } else if count < self.read_size / 4 && self.read_size > READ_MIN {
            self.small_reads += 1;
            if self.small_reads >= 32 {
                self.read_size /= 2;
                self.small_reads = 0;
            }
        } else {
            self.small_reads = 0;
        }
        Poll::Ready(Ok(count))
    }

    /// The session has taken from the input, of which there were `before` bytes.
    pub(super) fn received(&mut self, before: usize, now: Instant) {
        let after = self.input.len();
        if after == 0 {
            self.partial = None;
        } else if after < before || self.partial.is_none() {
            self.partial = Some((now, after));
        }
        if self.input.is_empty() && self.input.capacity() > 2 * self.read_size {
            self.input = BytesMut::new();
        }
    }

    /// The other side is dead: when the socket is closed nothing more is said but a reset. An orderly end
    /// would have to wait behind what is not acknowledged; should only this direction be dead, the other side
    /// learns of it at once.
    pub(super) fn abort(&self) {
        if let Err(error) = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)) {
            tracing::debug!(%error, "SO_LINGER could not be set");
        }
    }

    /// An idle connection holds no memory to speak of.
    pub(super) fn rest(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
            self.read_size = READ_MIN;
        }
        if self.output.is_empty() {
            self.output = Output::new();
        }
    }

    /// Whether a record stays incomplete while next to nothing comes. A length that was altered to a
    /// larger one would otherwise swallow pings for half an hour before its tag is found wrong.
    pub(super) fn is_stuck(&self, now: Instant, dead_after: Duration) -> bool {
        self.partial.is_some_and(|(since, had)| {
            let time = now.duration_since(since);
            let came = self.input.len().saturating_sub(had);
            time >= 2 * dead_after && (came as f64) < STUCK_RATE * time.as_secs_f64()
        })
    }

    /// Writes what waits, while the socket takes it.
    pub(super) fn write(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, End> {
        loop {
            let written = if self.first.has_remaining() {
                pin!(self.stream.write_buf(&mut self.first)).poll(cx)
            } else if self.output.has_remaining() {
                pin!(self.stream.write_buf(&mut self.output)).poll(cx)
            } else {
                return Ok(Poll::Ready(()));
            };
            match written {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Ok(0)) => return Err(End::cut("the socket takes no more")),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Err(failed("writing", &error)),
            }
        }
    }
}

/// Why the length of a record is wrong.
pub(super) const STUCK: &str =
    "a record does not become complete: its length was altered on its way";

fn failed(what: &str, error: &io::Error) -> End {
    End::cut(format!("{what} failed: {error}"))
}

/// What the peer's close frame says, for people.
pub(super) fn closed(reason: botzilla_wire::CloseReason, detail: &str) -> End {
    let mut why = match reason {
        botzilla_wire::CloseReason::Answer => "this side closed the connection".to_owned(),
        reason => format!("the other side closed the connection: {reason}"),
    };
    if !detail.is_empty() {
        why = format!("{why} ({detail})");
    }
    End { why }
}
