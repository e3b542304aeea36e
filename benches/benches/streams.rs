//! Streams between two processes on loopback, beside plain TCP in the same run: interleaved rounds
//! and their ratios, which is what to look at. Absolute figures mean little on a shared machine.
//!
//! `cargo bench --bench streams -- items`, `latency`, `rate` or `modes` runs one part alone.

use std::{
    io,
    time::{Duration, Instant},
};

use botzilla::{ComponentRef, Node, Security, Subscription};
use botzilla_benches::{
    botz, plain,
    process::{self, Cores, Server},
    quantile,
    stream::{self, ENDLESS, Image, Start},
};
use tokio::net::{TcpListener, TcpStream};

const ROUNDS: usize = 3;
const SUBSCRIBERS: [usize; 3] = [1, 8, 64];
/// What an item is, its bytes, and how many go to all subscribers together in a round.
const ITEMS: [(&str, Option<u64>, u64); 3] = [
    ("64 B", None, 512_000),
    ("1 MiB", Some(1 << 20), 512),
    ("6 MiB", Some(6 << 20), 128),
];
const ASKS: u64 = 2_000;
const CAMERAS: usize = 4;
const IMAGE: u64 = 5_000_000;
const HZ: f64 = 30.0;
const SECONDS: u64 = 10;

/// The servers, and a client of each.
struct Sides {
    asks: Server,
    items: Server,
    _botzilla: Server,
    node: Node,
    mirror: ComponentRef,
}

impl Sides {
    async fn start() -> botzilla::Result<Self> {
        let asks = process::serve("plain", Cores::Any)?;
        let items = process::serve("plain items", Cores::Any)?;
        let botzilla = process::serve("botzilla", Cores::Any)?;
        let (node, mirror) = botz::connect(&botzilla.address).await?;
        Ok(Self {
            asks,
            items,
            _botzilla: botzilla,
            node,
            mirror,
        })
    }

    async fn items(&self) -> botzilla::Result<()> {
        println!("\nitems to all subscribers together; medians of {ROUNDS} interleaved rounds");
        head("plain TCP", "botzilla");
        for (what, pixels, total) in ITEMS {
            for subscribers in SUBSCRIBERS {
                let count = (total / subscribers as u64).max(2);
                let size = pixels.unwrap_or(64);
                let (mut plain, mut botzilla) = (Vec::new(), Vec::new());
                for _ in 0..ROUNDS {
                    let (address, size) = (&self.items.address, size as u32);
                    plain.push(stream::transfer_plain(address, size, count, subscribers).await?);
                    let node = &self.node;
                    botzilla.push(stream::transfer(node, pixels, count, subscribers).await?);
                }
                let all = (count * subscribers as u64) as f64;
                let (unit, amount) = if pixels.is_none() {
                    ("k/s", all / 1e3)
                } else {
                    ("MiB/s", all * size as f64 / f64::from(1 << 20))
                };
                let rate = |times: &mut Vec<Duration>| amount / median(times).as_secs_f64();
                let name = format!("{what} to {subscribers}, {unit}");
                row(&name, rate(&mut plain), rate(&mut botzilla));
            }
        }
        Ok(())
    }

    /// Asks while nothing else goes on, and while images of 1 MiB fill the other connection.
    async fn latency(&self) -> botzilla::Result<()> {
        let size = 1 << 20;
        let mut times: [[Vec<u64>; 2]; 2] = Default::default();
        let mut bytes = [0_u64; 2];
        let mut loaded = [Duration::ZERO; 2];
        let mut plain = plain::Client::connect(&self.asks.address).await?;
        for _ in 0..ROUNDS {
            times[0][0].extend(plain.asks(ASKS).await?);
            let stream = TcpStream::connect(&self.items.address).await?;
            let load = actix_rt::spawn(stream::read_plain(stream, size, ENDLESS));
            let begin = Instant::now();
            times[0][1].extend(plain.asks(ASKS).await?);
            loaded[0] += begin.elapsed();
            load.abort();
            drop(load.await);

            times[1][0].extend(botz::asks(&self.mirror, ASKS).await?);
            let mut images = stream::subscribe::<Image>(&self.node, "camera0", "image", 1).await?;
            let start = Start {
                pixels: Some(size.into()),
                count: ENDLESS,
                hz: None,
            };
            self.node.component("camera0").ask(start).await?;
            let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
            let load = actix_rt::spawn(async move {
                let mut images = images.remove(0);
                loop {
                    tokio::select! {
                        item = images.next() => item.expect("it goes on").map(drop).expect("it goes on"),
                        _ = &mut stopped => return images.received(),
                    }
                }
            });
            let begin = Instant::now();
            times[1][1].extend(botz::asks(&self.mirror, ASKS).await?);
            loaded[1] += begin.elapsed();
            drop(stop);
            bytes[1] += load.await.expect("a reader doesn't panic") * u64::from(size);
            stream::subscribers(&self.node, "camera0", "image", 0).await?;
        }
        println!("\nan ask of 64 B, one at a time, us; {ROUNDS} interleaved rounds");
        head("without load", "1 MiB items");
        for (name, times) in ["plain TCP", "botzilla"].iter().zip(&mut times) {
            let [alone, beside] = times;
            alone.sort_unstable();
            beside.sort_unstable();
            for (place, text) in [(0.5, "p50"), (0.99, "p99")] {
                let name = format!("{name}, {text}");
                let at = |times| quantile(times, place) as f64 / 1e3;
                row(&name, at(alone), at(beside));
            }
        }
        let rate = bytes[1] as f64 / loaded[1].as_secs_f64() / f64::from(1 << 20);
        println!("meanwhile botzilla's items took {rate:.0} MiB/s");
        Ok(())
    }

    /// Four cameras of 5 MB, 30 Hz each, for ten seconds.
    async fn rate(&self) -> botzilla::Result<()> {
        let count = HZ as u64 * SECONDS;
        let mut all: Vec<Subscription<Image>> = Vec::new();
        let names: Vec<_> = (0..CAMERAS).map(|n| format!("camera{n}")).collect();
        for name in &names {
            all.extend(stream::subscribe(&self.node, name, "image", 1).await?);
        }
        let begin = Instant::now();
        let start = Start {
            pixels: Some(IMAGE),
            count,
            hz: Some(HZ),
        };
        for name in &names {
            self.node.component(name).ask(start).await?;
        }
        let readers: Vec<_> = all
            .into_iter()
            .map(|items| actix_rt::spawn(stream::read(items, count)))
            .collect();
        for reader in readers {
            reader.await.expect("none is lost");
        }
        let time = begin.elapsed().as_secs_f64();
        let each = count as f64 / time;
        let bytes = each * (CAMERAS as u64 * IMAGE) as f64 / 1e6;
        println!(
            "\n{CAMERAS} publishers of {count} items of 5 MB, reliable, {HZ} Hz asked for: none \
             lost, {each:.1} Hz each held over {time:.1} s, {bytes:.0} MB/s together"
        );
        Ok(())
    }
}

/// Authenticated and encrypted connections: items of 1 and 6 MiB, and asks of 64 B, one at a time.
async fn modes() -> botzilla::Result<()> {
    const ROUNDS: usize = 7;
    let servers = [
        process::serve("botzilla", Cores::Any)?,
        process::serve("botzilla, noise", Cores::Any)?,
    ];
    let mut sides = Vec::new();
    for (server, security) in servers.iter().zip([None, Some(Security::Encrypted)]) {
        let (node, mirror) = botz::connect(&server.address).await?;
        assert_eq!(node.security(), security, "as its registry requires");
        sides.push((node, mirror));
    }
    println!("\nboth modes, medians of {ROUNDS} interleaved rounds");
    head("hmac", "noise");
    for (what, pixels, count) in ITEMS {
        let Some(size) = pixels else { continue };
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for ((node, _), times) in sides.iter().zip(&mut times) {
                times.push(stream::transfer(node, pixels, count, 1).await?);
            }
        }
        let amount = (count * size) as f64 / f64::from(1 << 20);
        let [hmac, noise] = times.map(|mut times| amount / median(&mut times).as_secs_f64());
        row(&format!("{what} to 1, MiB/s"), hmac, noise);
    }
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for ((_, mirror), times) in sides.iter().zip(&mut times) {
            times.extend(botz::asks(mirror, ASKS).await?);
        }
    }
    times.iter_mut().for_each(|times| times.sort_unstable());
    for (place, text) in [(0.5, "p50"), (0.99, "p99")] {
        let [hmac, noise] = [0, 1].map(|side| quantile(&times[side], place) as f64 / 1e3);
        row(&format!("ask 64 B {text}, us"), hmac, noise);
    }
    Ok(())
}

fn head(left: &str, right: &str) {
    println!("{:22} {left:>12} {right:>12} {:>8}", "", "ratio");
}

fn row(name: &str, left: f64, right: f64) {
    println!("{name:22} {left:12.1} {right:12.1} {:8.2}", right / left);
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

async fn bench() -> botzilla::Result<()> {
    let parts: Vec<_> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    if wanted("modes") {
        modes().await?;
    }
    if parts.iter().all(|part| part == "modes") && !parts.is_empty() {
        return Ok(());
    }
    let sides = Sides::start().await?;
    if wanted("rate") {
        sides.rate().await?;
    }
    if wanted("latency") {
        sides.latency().await?;
    }
    if wanted("items") {
        sides.items().await?;
    }
    Ok(())
}

fn main() -> botzilla::Result<()> {
    let system = actix_rt::System::new();
    let Some(role) = process::role() else {
        // `cargo test --benches` and `--list` only want to know that it runs.
        if std::env::args().any(|arg| arg == "--bench") {
            system.block_on(bench())?;
        }
        return Ok(());
    };
    process::end_with_parent();
    match role.as_str() {
        "botzilla" => return system.block_on(stream::serve(Security::Authenticated)),
        "botzilla, noise" => return system.block_on(stream::serve(Security::Encrypted)),
        _ => {}
    }
    system.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        match role.as_str() {
            "plain" => Ok(plain::serve(listener).await?),
            "plain items" => Ok(stream::serve_plain(listener).await?),
            other => Err(io::Error::other(format!("no role {other:?}")).into()),
        }
    })
}
