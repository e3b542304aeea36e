//! A peer that is made by hand: it holds the secret, and needn't keep the rules.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use botzilla::Message;
use botzilla_wire::{
    Encoding, Kind, Name, NodeId, Secret,
    fingerprint::Layout,
    handshake::{Dialler, Established, HandshakeError, Local},
    limits::Limits,
    output::Output,
    route::{Route, Scope},
    session::{Event, Send, Session},
};
use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::world::SECRET;

/// A connection whose handshake is done.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    session: Session<u64>,
    input: BytesMut,
    events: Vec<Event<u64>>,
}

/// A handshake that is done, what was said by this side in it, and what came after it.
pub(crate) struct Handshake {
    pub(crate) stream: TcpStream,
    pub(crate) established: Established,
    pub(crate) said: Vec<Bytes>,
    pub(crate) input: BytesMut,
}

pub(crate) fn local() -> Local {
    Local::new(NodeId(random()), vec![Secret::parse(&SECRET).unwrap()])
}

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

pub(crate) async fn handshake(address: SocketAddr, local: &Local) -> Handshake {
    try_handshake(address, local).await.expect("refused")
}

/// The same of one that may be refused.
pub(crate) async fn try_handshake(
    address: SocketAddr,
    local: &Local,
) -> Result<Handshake, HandshakeError> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut dialler = Dialler::new(local, None, None, random(), Instant::now());
    let (mut input, mut said) = (BytesMut::new(), Vec::new());
    loop {
        while let Some(bytes) = dialler.poll_transmit() {
            stream.write_all(&bytes).await.unwrap();
            said.push(bytes);
        }
        assert_ne!(stream.read_buf(&mut input).await.unwrap(), 0, "refused");
        if let Some(established) = dialler.receive(Instant::now(), &mut input)? {
            return Ok(Handshake {
                stream,
                established,
                said,
                input,
            });
        }
    }
}

/// A component's route for a message of that type, in bincode.
pub(crate) fn route<M: Message>(to: &str, urgent: bool) -> Route {
    let layout = Layout::of::<M, M::Reply>().unwrap();
    Route {
        scope: Scope::Component(Name::new(to).unwrap()),
        sender: None,
        message: M::NAME.to_owned(),
        encoding: Encoding::Bincode,
        fingerprint: Some(layout.fingerprint().0),
        urgent,
    }
}

pub(crate) fn encoded<M: Message>(message: &M) -> Bytes {
    let mut bytes = Vec::new();
    botzilla_wire::encoding::encode(Encoding::Bincode, message, &mut bytes).unwrap();
    bytes.into()
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::connect_as(address, &local()).await
    }

    pub(crate) async fn connect_as(address: SocketAddr, local: &Local) -> Self {
        let Handshake {
            stream,
            established,
            input,
            ..
        } = handshake(address, local).await;
        let mut limits = Limits::default();
        // It may choose not to read.
        limits.dead_after = Duration::from_secs(3600);
        let session = Session::new(established, &limits, Instant::now());
        Self {
            stream,
            session,
            input,
            events: Vec::new(),
        }
    }

    /// Queues an ask, if there is credit.
    pub(crate) fn ask(&mut self, route: &Route, payload: Bytes, token: u64) -> bool {
        let Some(route) = self.session.route(route) else {
            return false;
        };
        let send = Send {
            route,
            kind: Kind::Ask,
            deadline: Instant::now() + Duration::from_secs(60),
            path: &[],
            payload,
        };
        self.session.try_send(send, token).is_ok()
    }

    /// Writes all that waits.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        let mut output = Output::new();
        loop {
            while self.session.poll_transmit(Instant::now(), &mut output) {}
            if output.is_empty() {
                return Ok(());
            }
            self.stream.write_all_buf(&mut output).await?;
        }
    }

    /// Writes no more than the beginning of what waits.
    pub(crate) async fn flush_some(&mut self, bytes: usize) {
        let mut output = Output::new();
        while output.len() < bytes && self.session.poll_transmit(Instant::now(), &mut output) {}
        let mut some = bytes::Buf::take(&mut output, bytes);
        self.stream.write_all_buf(&mut some).await.unwrap();
    }

    /// Says that it is still there, if it is time to.
    pub(crate) async fn beat(&mut self) -> io::Result<()> {
        if self.session.poll_timeout() <= Instant::now() {
            // Whether the other side is heard is no matter.
            let _ = self.session.handle_timeout(Instant::now());
        }
        self.flush().await
    }

    /// What happens next; `None` when the connection has ended.
    pub(crate) async fn event(&mut self) -> Option<Event<u64>> {
        while self.events.is_empty() {
            self.session
                .receive(Instant::now(), &mut self.input, &mut self.events)
                .ok()?;
            self.flush().await.ok()?;
            if !self.events.is_empty() {
                break;
            }
            if self.stream.read_buf(&mut self.input).await.ok()? == 0 {
                return None;
            }
        }
        Some(self.events.remove(0))
    }

    /// Sends one ask and waits for its end.
    pub(crate) async fn asked(&mut self, route: &Route, payload: Bytes) -> Event<u64> {
        assert!(self.ask(route, payload, u64::MAX), "no credit");
        self.flush().await.unwrap();
        loop {
            let event = self.event().await.expect("the connection ended");
            if matches!(
                &event,
                Event::Replied {
                    token: u64::MAX,
                    ..
                } | Event::Failed {
                    token: u64::MAX,
                    ..
                }
            ) {
                return event;
            }
        }
    }
}

/// Says whatever it is told to, authentically.
pub(crate) struct Forger {
    pub(crate) stream: TcpStream,
    established: Established,
    next: u64,
}

impl Forger {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::connect_as(address, &local()).await
    }

    pub(crate) async fn connect_as(address: SocketAddr, local: &Local) -> Self {
        let Handshake {
            stream,
            established,
            ..
        } = handshake(address, local).await;
        Self {
            stream,
            established,
            next: 0,
        }
    }

    /// A record with these frames.
    pub(crate) fn record(&mut self, body: &[u8]) -> Vec<u8> {
        let mut record = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
        record.extend_from_slice(body);
        let tag = self
            .established
            .keys
            .mac()
            .unwrap()
            .seal_key()
            .tag(self.next, &[&record]);
        self.next += 1;
        record.extend_from_slice(&tag);
        record
    }

    pub(crate) async fn say(&mut self, body: &[u8]) {
        let record = self.record(body);
        self.stream.write_all(&record).await.unwrap();
    }

    /// Reads to the end of the connection; the last words are readable.
    pub(crate) async fn last_words(mut self) -> String {
        let mut rest = Vec::new();
        // A reset is an end as well.
        let _ = self.stream.read_to_end(&mut rest).await;
        String::from_utf8_lossy(&rest).into_owned()
    }
}

/// Reads until the other side has ended the connection.
pub(crate) async fn until_ended(stream: &mut TcpStream) {
    let mut rest = [0; 4096];
    while matches!(stream.read(&mut rest).await, Ok(read) if read > 0) {}
}
