//! Somebody who doesn't hold the secret, and has a thousand connections.

use std::{
    cell::Cell,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use botzilla_wire::{
    NodeId, Secret,
    handshake::{Dialler, Local},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{orders, say, variable};

const CONNECTIONS: usize = 1_000;
/// Not the robot's.
const SECRET: &str = "bz1:other:HxwdHh8QERITFBUWFxgZGhsAAQIDBAUGBwgJCgsMDQ4=";

/// Keeps that many connections at work until it is ended, and says when it has begun, and on order
/// how many it has made.
pub(super) async fn run() -> botzilla::Result<()> {
    let mut orders = orders();
    let targets = variable("CHAOS_TARGETS");
    let targets: Vec<SocketAddr> = targets
        .split(' ')
        .map(|target| target.parse().expect("the suite knows addresses"))
        .collect();
    let made = Rc::new(Cell::new(0_u64));
    for number in 0..CONNECTIONS {
        let target = targets[number % targets.len()];
        actix_rt::spawn(keep_on(target, number / targets.len(), Rc::clone(&made)));
    }
    while made.get() < CONNECTIONS as u64 / 4 {
        sleep(Duration::from_millis(10)).await;
    }
    say("ready");
    while orders.recv().await.is_some() {
        say(&format!("made {}", made.get()));
    }
    Ok(())
}

async fn keep_on(target: SocketAddr, number: usize, made: Rc<Cell<u64>>) {
    loop {
        let connected = timeout(Duration::from_secs(5), TcpStream::connect(target)).await;
        if let Ok(Ok(stream)) = connected {
            made.set(made.get() + 1);
            // However the other side ends it.
            let _ = annoy(stream, number).await;
        }
        sleep(Duration::from_millis(1_500)).await;
    }
}

/// Until the other side has had enough.
async fn annoy(mut stream: TcpStream, number: usize) -> std::io::Result<()> {
    let mut bytes = [0; 512];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    match number % 3 {
        // Says nothing.
        0 => {}
        1 => stream.write_all(&bytes).await?,
        // Knows how it begins, and not how it goes on.
        _ => {
            let secret = Secret::parse(SECRET).map_err(std::io::Error::other)?;
            let id = bytes.first_chunk().expect("it is long enough");
            let local = Local::new(NodeId(*id), vec![secret]);
            let nonce = *bytes.last_chunk().expect("it is long enough");
            let mut dialler = Dialler::new(&local, None, None, nonce, Instant::now());
            while let Some(hello) = dialler.poll_transmit() {
                stream.write_all(&hello).await?;
            }
        }
    }
    while stream.read(&mut bytes).await? > 0 {}
    Ok(())
}
