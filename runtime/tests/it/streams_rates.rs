//! Rates between processes, at which nothing may be lost: large items, and bursts of small ones.

use std::time::{Duration, Instant};

use botzilla::{Node, Subscription};
use futures_util::future::join_all;

use crate::{
    child::Child,
    parts::{Gate, Halt},
    streams_between::Image,
    streams_parts::{Begin, Emit, begin, emit, progress, until_heard},
    world::{SOON, alone, found, node, registry, run},
};

/// For how long the four cameras run. The whole ten seconds are for a machine that has the time.
const SECONDS: &str = "BOTZILLA_IT_SECONDS";
const HZ: u64 = 30;
const FRAME: u64 = 5_000_000;
const CAMERAS: [&str; 4] = ["front", "rear", "left", "right"];

/// Reads exactly these, in order, and finds nothing behind them.
async fn read_all(images: &mut Subscription<Image>, count: u64, len: u64) {
    for n in 0..count {
        let item = images.next().await.unwrap().unwrap();
        assert_eq!((item.n, item.seq(), item.missed()), (n, n, 0));
        let (byte, pixels) = (u8::try_from(n % 251).unwrap(), &item.pixels);
        assert_eq!((pixels.len() as u64, pixels[0]), (len, byte));
        assert_eq!(pixels[pixels.len() - 1], byte);
    }
    assert_eq!((images.received(), images.missed()), (count, 0));
    assert!(images.try_next().is_none(), "that is one too many");
}

#[test]
fn four_cameras_of_5_mb_at_30_hz_lose_nothing_and_an_emergency_stop_comes_through() {
    let _alone = alone();
    run(async {
        let seconds = std::env::var(SECONDS).map_or(2, |it| it.parse().unwrap());
        let frames = HZ * seconds;
        let registry = registry().await;
        let child = Child::start(registry.address(), &["feed:cameras", "gate:there"]).await;
        let here = node(registry.address()).await;
        here.spawn("gate", Gate::default).await.unwrap();
        let mut streams = Vec::new();
        for camera in CAMERAS {
            begin(&here, "cameras", Begin::waiting(camera, 4)).await;
            let images = here.subscribe::<Image>(format!("cameras/{camera}"));
            streams.push(images.reliable().depth(4).await.unwrap());
            until_heard(&here, "cameras", camera, 1).await;
        }
        found(&here, "there").await;
        let began = Instant::now();
        let all = async {
            let publish = CAMERAS.map(|camera| {
                let frames = Emit::paced(camera, FRAME, (frames, 1), 1_000_000 / HZ);
                emit(&here, "cameras", frames)
            });
            let read = streams.iter_mut().map(|it| read_all(it, frames, FRAME));
            tokio::join!(join_all(publish), join_all(read)).0
        };
        let mut stops = 0;
        let published = tokio::select! {
            published = all => published,
            () = stop_over_and_over(&here, &mut stops) => unreachable!("it goes on"),
        };
        for emitted in published {
            assert_eq!((emitted.published, emitted.subscribers), (frames, 1));
        }
        let took = began.elapsed();
        eprintln!("{frames} frames of each of four in {took:?}; {stops} emergency stops meanwhile");
        assert!(stops > 0, "no emergency stop came through meanwhile");
        here.shutdown(SOON).await;
        child.stop().await;
        registry.shutdown(SOON).await;
    });
}

/// Urgent broadcasts that run on both nodes, one after the other.
async fn stop_over_and_over(here: &Node, stops: &mut u64) {
    loop {
        let reason = "as asked".to_owned();
        let stop = here.broadcast(Halt { reason }).to_the_end();
        let mut report = stop.await.unwrap();
        report.delivered.sort();
        assert_eq!(report.delivered, ["gate", "there"], "{report:?}");
        *stops += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// 30 small items each 10 ms.
const BURSTS: u64 = 200;
const BURST: u64 = 30;

#[test]
fn bursts_at_3_khz_lose_nothing() {
    run(async {
        let registry = registry().await;
        let child = Child::start(registry.address(), &["feed:imu"]).await;
        let here = node(registry.address()).await;
        begin(&here, "imu", Begin::waiting("raw", 64)).await;
        let mut items = here.subscribe::<Image>("imu/raw").await.unwrap();
        until_heard(&here, "imu", "raw", 1).await;
        let bursts = Emit::paced("raw", 100, (BURSTS, BURST), 10_000);
        let (emitted, ()) = tokio::join!(
            emit(&here, "imu", bursts),
            read_all(&mut items, BURSTS * BURST, 100)
        );
        assert_eq!(emitted.published, BURSTS * BURST);
        here.shutdown(SOON).await;
        child.stop().await;
        registry.shutdown(SOON).await;
    });
}

#[test]
fn what_try_send_gives_back_for_a_full_queue_is_sent_later_and_nothing_is_lost() {
    run(async {
        let registry = registry().await;
        let child = Child::start(registry.address(), &["feed:imu"]).await;
        let here = node(registry.address()).await;
        // Less than a burst has room, here and there together.
        begin(&here, "imu", Begin::waiting("raw", 8)).await;
        let items = here.subscribe::<Image>("imu/raw").reliable();
        let mut items = items.depth(8).await.unwrap();
        until_heard(&here, "imu", "raw", 1).await;
        let mut bursts = Emit::paced("raw", 100, (BURSTS, BURST), 10_000);
        bursts.tries = true;
        let read = async {
            // Nobody reads: the queue gets full for certain.
            while progress(&here, "imu", "raw").await.full == 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            assert!(progress(&here, "imu", "raw").await.published <= 16);
            read_all(&mut items, BURSTS * BURST, 100).await;
        };
        let (emitted, ()) = tokio::join!(emit(&here, "imu", bursts), read);
        assert_eq!(emitted.published, BURSTS * BURST);
        here.shutdown(SOON).await;
        child.stop().await;
        registry.shutdown(SOON).await;
    });
}
