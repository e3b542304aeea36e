//! What the attributes make can be spawned and asked, with nothing else written.
use botzilla::prelude::*;

#[botzilla::data]
#[derive(Default)]
struct Odometry {
    x_m: f64,
}

#[botzilla::message(reply = Odometry)]
struct Drive {
    metres: f64,
}

#[botzilla::message(reply = Result<f64, String>)]
struct Measure;

#[derive(Default)]
struct Base {
    odometry: Odometry,
}

#[botzilla::component(groups = ["base"])]
impl Base {
    #[botzilla::handler]
    fn drive(&mut self, msg: Drive) -> Odometry {
        self.odometry.x_m += msg.metres;
        Odometry { x_m: self.odometry.x_m }
    }
}

#[botzilla::handler]
async fn measure(_: Measure) -> Result<f64, String> {
    Err("no lidar".to_owned())
}

#[botzilla::handler]
fn drive(_: Drive, _: &Ctx) -> Odometry {
    Odometry::default()
}

async fn robot(node: &Node) -> botzilla::Result<f64> {
    node.spawn("base", Base::default).await?;
    node.spawn("lidar", measure).groups(["sensors"]).await?;
    node.spawn("dummy", drive).await?;
    let odometry = node.component("base").ask(Drive { metres: 1.0 }).await?;
    let measured = node.component("lidar").ask(Measure).await?;
    Ok(odometry.x_m + measured.unwrap_or_default())
}

fn main() {
    let _ = robot;
}
