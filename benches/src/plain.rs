//! Plain TCP: four bytes of length, then the payload. What the machine can do at best.

use std::{io, time::Instant};

use bytes::{Buf, BufMut, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// The payload of each message: 64 bytes.
pub const PAYLOAD: [u8; 64] = [7; 64];

const TELL: u8 = 1;
const ASK: u8 = 2;

/// Serves connections for ever: echoes asks, counts tells and answers the last.
pub async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::task::spawn_local(async move { drop(answer(stream).await) });
    }
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let (mut input, mut output) = (BytesMut::with_capacity(1 << 18), BytesMut::new());
    let mut told = 0_u64;
    while stream.read_buf(&mut input).await? > 0 {
        while let Some(frame) = next(&mut input) {
            match frame[0] {
                ASK => put(&mut output, &frame),
                _ => {
                    told += 1;
                    // The last tell asks how many there were.
                    if frame[1] == 1 {
                        put(&mut output, &told.to_le_bytes());
                        told = 0;
                    }
                }
            }
        }
        stream.write_all_buf(&mut output).await?;
    }
    Ok(())
}

fn next(input: &mut BytesMut) -> Option<BytesMut> {
    let length = input.get(..4)?;
    let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
    if input.len() < 4 + length {
        input.reserve(4 + length - input.len());
        return None;
    }
    input.advance(4);
    Some(input.split_to(length))
}

fn put(output: &mut BytesMut, frame: &[u8]) {
    output.put_u32_le(frame.len() as u32);
    output.put_slice(frame);
}

/// A client of [`serve`].
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    input: BytesMut,
    output: BytesMut,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Nobody listens there.
    pub async fn connect(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (input, output) = (BytesMut::with_capacity(1 << 18), BytesMut::new());
        Ok(Self {
            stream,
            input,
            output,
        })
    }

    /// One ask at a time, each one's nanoseconds.
    ///
    /// # Errors
    ///
    /// The connection ended.
    pub async fn asks(&mut self, count: u64) -> io::Result<Vec<u64>> {
        let mut times = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let start = Instant::now();
            self.send(ASK, 0);
            self.stream.write_all_buf(&mut self.output).await?;
            self.receive().await?;
            times.push(start.elapsed().as_nanos() as u64);
        }
        Ok(times)
    }

    /// Asks with so many under way.
    ///
    /// # Errors
    ///
    /// The connection ended.
    pub async fn pipelined(&mut self, count: u64, in_flight: usize) -> io::Result<()> {
        let (mut sent, mut received) = (0, 0);
        while received < count {
            while sent < count && sent - received < in_flight as u64 {
                self.send(ASK, 0);
                sent += 1;
            }
            self.stream.write_all_buf(&mut self.output).await?;
            self.receive().await?;
            received += 1;
            while next(&mut self.input).is_some() {
                received += 1;
            }
        }
        Ok(())
    }

    /// Tells, until the other side has confirmed the last.
    ///
    /// # Errors
    ///
    /// The connection ended, or the count is wrong.
    pub async fn tells(&mut self, count: u64) -> io::Result<()> {
        for n in 1..=count {
            self.send(TELL, u8::from(n == count));
            if self.output.len() >= 1 << 16 || n == count {
                self.stream.write_all_buf(&mut self.output).await?;
            }
        }
        let told = self.receive().await?.get_u64_le();
        if told == count {
            Ok(())
        } else {
            Err(io::Error::other("tells were lost"))
        }
    }

    fn send(&mut self, kind: u8, last: u8) {
        self.output.put_u32_le(2 + PAYLOAD.len() as u32);
        self.output.put_slice(&[kind, last]);
        self.output.put_slice(&PAYLOAD);
    }

    async fn receive(&mut self) -> io::Result<BytesMut> {
        loop {
            if let Some(frame) = next(&mut self.input) {
                return Ok(frame);
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
