//! The camera: it looks ahead and publishes what it sees, picture by picture.

use std::time::Duration;

use botzilla::PublishError;
use botzilla::prelude::*;

use super::Options;
use super::messages::{Image, Odometry};
use crate::sim::{Lens, LensSpec};

/// The time from picture to picture.
const FRAME: Duration = Duration::from_millis(100);

/// The component.
#[derive(Debug)]
pub struct Camera {
    lens: Lens,
    odometry: Option<Odometry>,
    images: Option<Publisher<Image>>,
}

impl Camera {
    /// A camera in the robot's room.
    pub fn new(options: &Options) -> Self {
        Self {
            lens: Lens::new(&options.room, LensSpec::default()),
            odometry: None,
            images: None,
        }
    }
}

#[botzilla::component(groups = ["base"])]
impl Camera {
    #[botzilla::on_start]
    fn start(&mut self, ctx: &Ctx<Self>) -> Result<(), PublishError> {
        // An image is 900 KiB: two may wait for a slow subscriber, and no more.
        self.images = Some(ctx.publish("image", Qos::latest().depth(2))?);
        ctx.every(FRAME, Self::take);
        Ok(())
    }

    #[botzilla::handler(stream = "drive/odometry", latest = 1)]
    fn moved(&mut self, odometry: Odometry) {
        self.odometry = Some(odometry);
    }
}

impl Camera {
    fn take(&mut self, _: &Ctx<Self>) {
        let (Some(odometry), Some(images)) = (&self.odometry, &self.images) else {
            return;
        };
        // Rendering costs more than sending. Nobody looks: no picture.
        if !images.is_heard() {
            return;
        }
        let LensSpec {
            width,
            height,
            focal_px,
            eye_m,
        } = self.lens.spec();
        let image = Image {
            width,
            height,
            focal_px,
            eye_m,
            rgb: self.lens.render(odometry.pose()).into(),
        };
        // A stream of latest items waits for nobody.
        let _ = images.try_send(image);
    }
}
