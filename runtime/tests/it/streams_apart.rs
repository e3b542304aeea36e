//! Streams between processes: rates that hold, and processes that are killed.

use botzilla::{Ctx, Node, PublishError, Publisher, Qos};

use crate::{
    child::Child,
    streams::{Tick, next, publish, tick},
    streams_between::{Image, image},
    world::{SOON, node, registry, run, until},
};

/// Publishes `image`s of so many bytes, so many of them, as soon as somebody subscribes.
pub(crate) struct Pump {
    bytes: usize,
    count: u64,
}

#[botzilla::component]
impl Pump {
    #[botzilla::on_start]
    fn start(&mut self, ctx: &Ctx<Self>) -> Result<(), PublishError> {
        let images: Publisher<Image> = ctx.publish("image", Qos::reliable().depth(4))?;
        let (bytes, count) = (self.bytes, self.count);
        ctx.spawn(async move {
            until(|| images.subscribers() > 0).await;
            for n in 0..count {
                if images.send(image(n, bytes)).await.is_err() {
                    return;
                }
            }
            // The stream lasts as long as there is somebody to read what waits.
            until(|| images.subscribers() == 0).await;
        });
        Ok(())
    }
}

/// `name`, `name.bytes` and `name.bytes.count`.
pub(crate) async fn pump(
    node: &Node,
    name: &str,
) -> Result<botzilla::ComponentRef, botzilla::SpawnError> {
    let mut numbers = name.split('.').skip(1).map(|it| it.parse::<u64>().unwrap());
    let bytes = usize::try_from(numbers.next().unwrap_or(100)).unwrap();
    let count = numbers.next().unwrap_or(u64::MAX);
    node.spawn(name, move || Pump { bytes, count }).await
}

#[test]
fn none_is_lost_of_large_items_from_four_publishers_nor_of_a_fast_burst() {
    run(async {
        let registry = registry().await;
        let four = [
            "pump:a.5000000.12",
            "pump:b.5000000.12",
            "pump:c.5000000.12",
            "pump:d.5000000.12",
            "pump:e.100.3000",
        ];
        let child = Child::start(registry.address(), &four).await;
        let here = node(registry.address()).await;
        let mut readers = Vec::new();
        for part in four {
            let name = part.strip_prefix("pump:").unwrap();
            let count: u64 = name.rsplit('.').next().unwrap().parse().unwrap();
            let stream = here.subscribe::<Image>(format!("{name}/image"));
            let mut stream = stream.reliable().await.unwrap();
            readers.push(actix_rt::spawn(async move {
                for n in 0..count {
                    let item = stream.next().await.unwrap().unwrap();
                    assert_eq!((item.n, item.seq(), item.missed()), (n, n, 0));
                    assert_eq!(item.pixels[0], u8::try_from(n % 251).unwrap());
                }
            }));
        }
        for reader in readers {
            reader.await.unwrap();
        }
        here.shutdown(SOON).await;
        child.stop().await;
        registry.shutdown(SOON).await;
    });
}

#[test]
fn a_publisher_that_is_killed_and_starts_elsewhere_is_found_again() {
    run(async {
        let registry = registry().await;
        let here = node(registry.address()).await;
        let mut images = here.subscribe::<Image>("cam/image").await.unwrap();
        let first = Child::start(registry.address(), &["pump:cam"]).await;
        for n in 0..100 {
            let item = images.next().await.unwrap().unwrap();
            assert_eq!((item.n, item.missed(), item.restarted()), (n, 0, false));
        }
        drop(first);
        let second = Child::start(registry.address(), &["pump:cam"]).await;
        // What the first one had sent comes first.
        let mut last = 99;
        let item = loop {
            let item = images.next().await.unwrap().unwrap();
            if item.restarted() {
                break item;
            }
            assert_eq!((item.n, item.missed()), (last + 1, 0));
            last = item.n;
        };
        assert_eq!(item.seq(), item.missed(), "all of the second's before it");
        here.shutdown(SOON).await;
        drop(second);
        registry.shutdown(SOON).await;
    });
}

#[test]
fn a_subscriber_that_is_killed_is_waited_for_no_longer_and_may_come_back() {
    run(async {
        let registry = registry().await;
        let here = node(registry.address()).await;
        let (ticks, _made) = publish(&here, "clock", "tick", Qos::reliable().depth(2)).await;
        let mut near = here.subscribe::<Tick>("clock/tick").await.unwrap();
        let child = Child::start(registry.address(), &["reader"]).await;
        until(|| ticks.subscribers() == 2).await;
        // One it holds for ever, two wait there, and two here: the sixth has to wait.
        let n = 5;
        for n in 0..n {
            ticks.send(tick(n)).await.unwrap();
            assert_eq!(next(&mut near).await.n, n);
        }
        let mut sending = std::pin::pin!(ticks.send(tick(n)));
        assert!(futures_util::poll!(&mut sending).is_pending());
        drop(child);
        sending.await.unwrap();
        assert_eq!((next(&mut near).await.n, ticks.subscribers()), (n, 1));
        let child = Child::start(registry.address(), &["reader"]).await;
        until(|| ticks.subscribers() == 2).await;
        child.stop().await;
        until(|| ticks.subscribers() == 1).await;
        here.shutdown(SOON).await;
        registry.shutdown(SOON).await;
    });
}

/// Subscribes and reads nothing: an item holds it for ever.
#[derive(Default)]
pub(crate) struct Reader;

#[botzilla::component]
impl Reader {
    #[botzilla::handler(stream = "clock/tick", reliable, depth = 2)]
    async fn on_tick(&mut self, _: &Tick) {
        std::future::pending::<()>().await;
    }
}
