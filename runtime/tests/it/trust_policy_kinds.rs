//! All kinds of components stand behind the same door: string maps, exported actix actors, functions.

use actix::{Actor, Context, Handler};
use botzilla::{Map, MapComponent, MapError, Reason};

use crate::{
    trust_policy::{POLICY, Robot, assert_denied, denied},
    world::{SOON, run},
};

#[botzilla::message(reply = u32)]
#[derive(actix::Message)]
#[rtype(result = "u32")]
struct Scan {
    beams: u32,
}

struct Lidar;

impl Actor for Lidar {
    type Context = Context<Self>;
}

impl Handler<Scan> for Lidar {
    type Result = u32;

    fn handle(&mut self, scan: Scan, _: &mut Context<Self>) -> u32 {
        scan.beams
    }
}

#[botzilla::message(reply = u32)]
struct Twice {
    n: u32,
}

#[botzilla::handler]
async fn twice(msg: Twice) -> u32 {
    msg.n * 2
}

#[test]
fn maps_actors_and_functions_are_checked_as_components_are() {
    run(async {
        let robot = Robot::new().await;
        let (base, tablet) = (robot.node().await, robot.stranger("tablet").await);
        let answer = |map: Map| Ok(map);
        MapComponent::on(&base, "lamp", answer).await.unwrap();
        base.export("lidar", Lidar.start())
            .message::<Scan>()
            .await
            .unwrap();
        base.spawn("twice", twice).await.unwrap();
        let maps = MapComponent::on(&tablet, "tablet/maps", answer)
            .await
            .unwrap();
        let map = || Map::from([("on".to_owned(), "true".to_owned())]);
        let refused = maps.ask("lamp", map()).await.unwrap_err();
        let MapError::Call(error) = refused else {
            panic!("{refused}");
        };
        assert!(matches!(error.reason(), Reason::Denied(_)), "{error}");
        let scan = || tablet.component("lidar").ask(Scan { beams: 360 });
        assert_denied(scan().await, &["lidar/Scan"]);
        let double = || tablet.component("twice").ask(Twice { n: 4 });
        assert_denied(double().await, &["twice/Twice"]);
        assert_eq!(denied(&base, "tablet", "call", "lamp/map"), 1);

        let more =
            "[[allow]]\nkeys = [\"tablet\"]\ncall = [\"lamp/map\", \"lidar/Scan\", \"twice/*\"]\n";
        robot.rewrite(&format!("{POLICY}{more}"));
        base.reload().await.unwrap();
        assert_eq!(maps.ask("lamp", map()).await.unwrap(), map());
        assert_eq!(scan().await.unwrap(), 360);
        assert_eq!(double().await.unwrap(), 8);
        for node in [&tablet, &base] {
            node.shutdown(SOON).await;
        }
        robot.registry.shutdown(SOON).await;
    });
}
