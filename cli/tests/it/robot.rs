//! A robot to talk to, in the test's own process.

use std::time::Duration;

use botzilla::{Ctx, Node, NodeConfig, PublishError, Publisher, Qos, Subscription, WhenFull};

use crate::process::{PATIENCE, Registry, SECRET};

/// Where the arm is.
#[botzilla::data]
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    pub(crate) x_m: f64,
    pub(crate) y_m: f64,
}

/// Moves the arm's hand.
#[botzilla::message(reply = Result<Place, TooFar>)]
#[derive(Debug)]
pub(crate) struct MoveTo {
    /// Where to.
    pub(crate) at: Place,
    /// How.
    pub(crate) gait: Gait,
    pub(crate) tries: Option<u8>,
}

#[botzilla::data]
#[derive(Debug)]
pub(crate) enum Gait {
    Careful,
    Fast,
}

#[botzilla::data]
#[derive(Debug)]
pub(crate) struct TooFar {
    pub(crate) longest_m: f64,
}

#[botzilla::message(reply = Place)]
#[derive(Debug)]
pub(crate) struct GetPlace {}

/// Never ends.
#[botzilla::message]
#[derive(Debug)]
pub(crate) struct Linger {}

#[botzilla::message]
#[derive(Debug)]
pub(crate) struct Break {}

#[botzilla::message]
#[derive(Debug)]
pub(crate) struct EmergencyStop {
    pub(crate) reason: String,
}

#[derive(Default)]
struct Arm {
    at: Place,
}

#[botzilla::component(groups = ["base"])]
impl Arm {
    #[botzilla::handler]
    fn move_to(&mut self, msg: MoveTo) -> Result<Place, TooFar> {
        if msg.at.x_m.hypot(msg.at.y_m) > 1.0 {
            return Err(TooFar { longest_m: 1.0 });
        }
        self.at = msg.at;
        Ok(self.at.clone())
    }

    #[botzilla::handler]
    fn place(&mut self, _: GetPlace) -> Place {
        self.at.clone()
    }

    #[botzilla::handler]
    async fn linger(&mut self, _: Linger) {
        std::future::pending::<()>().await;
    }

    #[botzilla::handler]
    fn crash(&mut self, _: Break) {
        panic!("the elbow\nis broken");
    }

    #[botzilla::handler(broadcast, urgent)]
    fn stop(&mut self, _: EmergencyStop) {
        self.at = Place::default();
    }
}

#[botzilla::message(reply = String)]
#[derive(Debug)]
pub(crate) struct Greet {
    pub(crate) name: String,
}

#[botzilla::handler]
async fn greet(msg: Greet) -> String {
    format!("hello {}", msg.name)
}

/// What the lidar sees.
#[botzilla::data]
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    pub(crate) ranges_m: Vec<f64>,
    pub(crate) from: Place,
    pub(crate) note: String,
}

#[botzilla::data]
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Level {
    pub(crate) percent: u8,
}

/// Publishes `scan` a hundred times a second, and `state` once.
#[derive(Default)]
struct Lidar {
    scans: Option<Publisher<Scan>>,
    state: Option<Publisher<String>>,
}

#[botzilla::component(groups = ["sensors"])]
impl Lidar {
    #[botzilla::on_start]
    async fn start(&mut self, ctx: &Ctx<Self>) -> Result<(), PublishError> {
        self.scans = Some(ctx.publish("scan", Qos::latest().depth(32))?);
        let state = ctx.publish("state", Qos::reliable().keep_last(1))?;
        state.send("turning".to_owned()).await.unwrap();
        self.state = Some(state);
        ctx.every(Duration::from_millis(10), |lidar, _| {
            let scan = Scan {
                ranges_m: vec![1.5; 360],
                from: Place::default(),
                note: "a, b".to_owned(),
            };
            lidar.scans.as_ref().unwrap().try_send(scan).unwrap();
        });
        Ok(())
    }
}

/// Publishes `lines` a hundred times a second, and cuts off who doesn't take them.
#[derive(Default)]
struct Log {
    lines: Option<Publisher<Scan>>,
}

#[botzilla::component]
impl Log {
    #[botzilla::on_start]
    fn start(&mut self, ctx: &Ctx<Self>) -> Result<(), PublishError> {
        let after = Duration::from_millis(100);
        let qos = Qos::reliable().depth(2);
        let qos = qos.when_full(WhenFull::CutOff { after });
        self.lines = Some(ctx.publish("lines", qos)?);
        ctx.every(Duration::from_millis(10), |log, _| {
            let line = Scan {
                ranges_m: vec![1.5; 3600],
                from: Place::default(),
                note: String::new(),
            };
            // Full is what it is to be.
            let _ = log.lines.as_ref().unwrap().try_send(line);
        });
        Ok(())
    }
}

/// Keeps a list of so many bytes for who subscribes.
struct Cloud {
    length: usize,
    bytes: Option<Publisher<Vec<u8>>>,
}

#[botzilla::component]
impl Cloud {
    #[botzilla::on_start]
    async fn start(&mut self, ctx: &Ctx<Self>) -> Result<(), PublishError> {
        let bytes = ctx.publish("bytes", Qos::reliable().keep_last(1))?;
        bytes.send(vec![7; self.length]).await.unwrap();
        self.bytes = Some(bytes);
        Ok(())
    }
}

/// A node with an `arm` and a `greeter`.
pub(crate) struct Robot {
    node: Node,
}

impl Robot {
    pub(crate) fn start(registry: &Registry) -> Self {
        let config = NodeConfig::new(&registry.address, SECRET)
            .unwrap()
            .listen("127.0.0.1:0");
        let node = Node::start_blocking(config).unwrap();
        let robot = Self { node };
        robot.wait(async {
            robot.node.spawn("arm", Arm::default).await.unwrap();
            robot
                .node
                .spawn("greeter", greet)
                .groups(["talkers"])
                .await
                .unwrap();
        });
        robot
    }

    /// One with a `lidar` too.
    pub(crate) fn with_lidar(registry: &Registry) -> Self {
        let robot = Self::start(registry);
        robot.wait(async {
            robot.node.spawn("lidar", Lidar::default).await.unwrap();
        });
        robot
    }

    /// One with a `log` too.
    pub(crate) fn with_log(registry: &Registry) -> Self {
        let robot = Self::start(registry);
        robot.wait(async {
            robot.node.spawn("log", Log::default).await.unwrap();
        });
        robot
    }

    /// One with a `cloud` of so many bytes too.
    pub(crate) fn with_cloud(registry: &Registry, length: usize) -> Self {
        let robot = Self::start(registry);
        let cloud = move || Cloud {
            length,
            bytes: None,
        };
        robot.wait(async {
            robot.node.spawn("cloud", cloud).await.unwrap();
        });
        robot
    }

    /// Subscribes to `lamp/level`.
    pub(crate) fn levels(&self) -> Subscription<Level> {
        self.wait(async { self.node.subscribe("lamp/level").await.unwrap() })
    }

    pub(crate) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        runtime.block_on(async {
            tokio::time::timeout(PATIENCE, work)
                .await
                .expect("it hangs")
        })
    }
}

impl Drop for Robot {
    fn drop(&mut self) {
        self.wait(self.node.shutdown(Duration::ZERO));
    }
}
