//! Streams of a server process, on botzilla and on plain TCP.
//!
//! The yardstick is a connection for each subscriber: a length before each item, nothing else, and
//! the publisher writes the same buffer to all of them.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use botzilla::{Blob, PublishError, Security, Subscription, prelude::*};
use bytes::{BufMut, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::MissedTickBehavior,
};

use crate::botz::{self, Mirror, State};

/// Until nobody listens any longer.
pub const ENDLESS: u64 = u64::MAX;

/// An image, or a cloud of points.
#[botzilla::data]
#[derive(Clone, Debug)]
pub struct Image {
    /// Its number.
    pub n: u64,
    /// Bytes.
    pub pixels: Blob,
}

/// Has so many items published, once so many listen.
#[botzilla::message]
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// The size of an image; none: 64 B items.
    pub pixels: Option<u64>,
    /// How many items, [`ENDLESS`] until nobody subscribes any longer.
    pub count: u64,
    /// Items a second, none: as many as can be.
    pub hz: Option<f64>,
}

/// How many subscribe to the small items, and to the images.
#[botzilla::message(reply = (u64, u64))]
#[derive(Clone, Copy, Debug)]
pub struct Subscribers {}

/// Publishes.
#[derive(Debug, Default)]
pub struct Camera {
    small: Option<Arc<Publisher<State>>>,
    images: Option<Arc<Publisher<Image>>>,
}

#[botzilla::component]
impl Camera {
    #[botzilla::on_start]
    fn begin(&mut self, ctx: &Ctx<Self>) -> Result<(), PublishError> {
        let small = ctx.publish("small", Qos::reliable().depth(256))?;
        let images = ctx.publish("image", Qos::reliable().depth(2))?;
        self.small = Some(Arc::new(small));
        self.images = Some(Arc::new(images));
        Ok(())
    }

    #[botzilla::handler]
    fn subscribers(&mut self, _: Subscribers) -> (u64, u64) {
        let small = self.small.as_ref().map_or(0, |small| small.subscribers());
        let images = self
            .images
            .as_ref()
            .map_or(0, |images| images.subscribers());
        (small as u64, images as u64)
    }

    #[botzilla::handler]
    fn start(&mut self, msg: Start, ctx: &Ctx<Self>) {
        if let Some(size) = msg.pixels {
            let pixels = Blob::from(vec![7; size as usize]);
            let image = move |n| Image {
                n,
                pixels: pixels.clone(),
            };
            if let Some(images) = self.images.clone() {
                let _ = ctx.spawn(publish(images, msg, image));
            }
        } else if let Some(small) = self.small.clone() {
            let _ = ctx.spawn(publish(small, msg, |_| State::default()));
        }
    }
}

async fn publish<T: botzilla::Data + Sync>(
    publisher: Arc<Publisher<T>>,
    start: Start,
    item: impl Fn(u64) -> T,
) {
    let mut ticks = start.hz.map(|hz| {
        let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / hz));
        // What was late is made up for.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        ticks
    });
    for n in 0..start.count {
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        if publisher.subscribers() == 0 || publisher.send(item(n)).await.is_err() {
            return;
        }
    }
}

/// Serves a registry, a [`Mirror`] and four cameras on one node, for ever, protected so.
///
/// # Errors
///
/// The node can't start.
pub async fn serve(security: Security) -> botzilla::Result<()> {
    let registry = botz::registry(security).await?;
    registry.node().spawn("mirror", Mirror::default).await?;
    for n in 0..4 {
        let name = format!("camera{n}");
        registry.node().spawn(name, Camera::default).await?;
    }
    println!("{}", registry.address());
    std::future::pending().await
}

/// Subscribes so many times, and waits until the publisher knows.
///
/// # Errors
///
/// The publisher isn't there.
pub async fn subscribe<T: botzilla::Data + Sync>(
    node: &Node,
    camera: &str,
    stream: &str,
    count: usize,
) -> botzilla::Result<Vec<Subscription<T>>> {
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        let name = format!("{camera}/{stream}");
        all.push(node.subscribe::<T>(name).reliable().await?);
    }
    subscribers(node, camera, stream, count as u64).await?;
    Ok(all)
}

/// Waits until so many subscribe.
///
/// # Errors
///
/// The publisher isn't there.
pub async fn subscribers(
    node: &Node,
    camera: &str,
    stream: &str,
    count: u64,
) -> botzilla::Result<()> {
    let camera = node.component(camera);
    loop {
        let (small, images) = camera.ask(Subscribers {}).await?;
        if count == if stream == "small" { small } else { images } {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Reads so many items; none may be missing.
///
/// # Panics
///
/// The stream ends, or items are lost.
pub async fn read<T: botzilla::Data + Sync>(mut items: Subscription<T>, count: u64) {
    for _ in 0..count {
        let item = items.next().await.expect("the stream goes on");
        let item = item.expect("nobody is cut off");
        assert_eq!(item.missed(), 0, "items were lost");
    }
}

/// The time for so many items to get to so many subscribers.
///
/// # Errors
///
/// The publisher isn't there.
pub async fn transfer(
    node: &Node,
    pixels: Option<u64>,
    count: u64,
    subscribers: usize,
) -> botzilla::Result<Duration> {
    match pixels {
        None => timed::<State>(node, "small", pixels, count, subscribers).await,
        Some(_) => timed::<Image>(node, "image", pixels, count, subscribers).await,
    }
}

async fn timed<T: botzilla::Data + Sync>(
    node: &Node,
    stream: &str,
    pixels: Option<u64>,
    count: u64,
    subscribers: usize,
) -> botzilla::Result<Duration> {
    let all = subscribe::<T>(node, "camera0", stream, subscribers).await?;
    let begin = Instant::now();
    let start = Start {
        pixels,
        count,
        hz: None,
    };
    node.component("camera0").ask(start).await?;
    let readers: Vec<_> = all
        .into_iter()
        .map(|items| actix_rt::spawn(read(items, count)))
        .collect();
    for reader in readers {
        reader.await.expect("a reader doesn't panic");
    }
    let time = begin.elapsed();
    self::subscribers(node, "camera0", stream, 0).await?;
    Ok(time)
}

/// Serves items over plain TCP for ever: to each connection those that it asks for.
///
/// # Errors
///
/// The listener fails.
pub async fn serve_plain(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::task::spawn_local(async move { drop(answer(stream).await) });
    }
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let (size, mut left) = (stream.read_u32_le().await?, stream.read_u64_le().await?);
    // Small items share a write, as anybody would have them do.
    let batch = (65_536 / (u64::from(size) + 4)).max(1);
    let mut items = BytesMut::new();
    for _ in 0..batch {
        items.put_u32_le(size);
        items.put_bytes(7, size as usize);
    }
    while left > 0 {
        let now = left.min(batch);
        let bytes = now as usize * (size as usize + 4);
        stream.write_all(&items[..bytes]).await?;
        left -= now;
    }
    Ok(())
}

/// Reads so many items of a size from [`serve_plain`].
///
/// # Errors
///
/// The connection ended.
pub async fn read_plain(mut stream: TcpStream, size: u32, count: u64) -> io::Result<()> {
    stream.write_u32_le(size).await?;
    stream.write_u64_le(count).await?;
    let mut input = BytesMut::with_capacity((size as usize + 4).max(1 << 18));
    let mut left = count;
    while left > 0 {
        while input.len() >= 4 {
            let bytes = u32::from_le_bytes([input[0], input[1], input[2], input[3]]) as usize + 4;
            if input.len() < bytes {
                break;
            }
            drop(input.split_to(bytes));
            left -= 1;
        }
        input.reserve((size as usize + 4).max(1 << 16));
        if left > 0 && stream.read_buf(&mut input).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// The time for so many items to get to so many subscribers over plain TCP.
///
/// # Errors
///
/// A connection ended.
pub async fn transfer_plain(
    address: &str,
    size: u32,
    count: u64,
    subscribers: usize,
) -> io::Result<Duration> {
    let mut streams = Vec::with_capacity(subscribers);
    for _ in 0..subscribers {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let begin = Instant::now();
    let readers: Vec<_> = streams
        .into_iter()
        .map(|stream| actix_rt::spawn(read_plain(stream, size, count)))
        .collect();
    for reader in readers {
        reader.await.expect("a reader doesn't panic")?;
    }
    Ok(begin.elapsed())
}
