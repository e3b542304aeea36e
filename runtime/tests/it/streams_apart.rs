//! Parts that publish and subscribe in other processes, and one of these that is killed.

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
