//! The watcher: it looks at the camera's images for what stands in front of the robot.

use botzilla::prelude::*;

use super::messages::{GetSight, GetStreams, Image, Sight, StreamCount};
use super::tally::Tally;

/// The component.
#[derive(Debug, Default)]
pub struct Watcher {
    nearest_m: Option<f64>,
    images: Tally,
}

#[botzilla::component(groups = ["desk"])]
impl Watcher {
    // Five images a second are enough to look at; the others aren't even sent. An `Item` knows, besides
    // its value, what was lost before it.
    #[botzilla::handler(stream = "camera/image", latest = 1, at_most = 5.0)]
    fn look(&mut self, image: Item<Image>) {
        self.images.add(&image);
        if let Some(ahead_m) = ahead(&image) {
            let nearest_m = self.nearest_m.unwrap_or(f64::INFINITY);
            self.nearest_m = Some(nearest_m.min(ahead_m));
        }
    }

    #[botzilla::handler]
    fn get_sight(&mut self, _: GetSight) -> Sight {
        Sight {
            nearest_m: self.nearest_m,
            images: self.images.count("watcher"),
        }
    }

    #[botzilla::handler]
    fn get_streams(&mut self, _: GetStreams) -> Vec<StreamCount> {
        vec![self.images.count("watcher")]
    }
}

/// How far the thing straight ahead is. The floor is grey and things are not, so in the middle column
/// the lowest pixel with a colour is where the thing stands; the lower that is, the nearer.
pub fn ahead(image: &Image) -> Option<f64> {
    let Image {
        width,
        height,
        focal_px,
        eye_m,
        ref rgb,
    } = *image;
    let horizon = height / 2;
    // `get`: the message may say another size than its bytes have.
    let coloured = |line: u32| {
        let at = 3 * (line as usize * width as usize + width as usize / 2);
        let pixel = rgb.get(at..at + 3);
        pixel.is_some_and(|pixel| pixel[0] != pixel[1] || pixel[1] != pixel[2])
    };
    let foot = (horizon..height).rev().find(|line| coloured(*line))?;
    Some(focal_px * eye_m / f64::from(foot + 1 - horizon))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Pose;
    use crate::sim::{Laser, LaserSpec, Lens, LensSpec, Room};

    #[test]
    fn what_the_watcher_sees_ahead_is_where_the_lidar_measures_it() {
        let room = Room::furnished(0);
        let lens = Lens::new(&room, LensSpec::default());
        let mut laser = Laser::new(&room, LaserSpec::default(), 0);
        let LensSpec {
            width,
            height,
            focal_px,
            eye_m,
        } = lens.spec();
        let mut compared = 0;
        for turn in 0..24 {
            let heading = f64::from(turn) * 0.26;
            let from = Pose::new(0.8, 0.8, heading);
            let image = Image {
                width,
                height,
                focal_px,
                eye_m,
                rgb: lens.render(from).into(),
            };
            assert_eq!(image.rgb.len(), 640 * 480 * 3);
            let measured = laser.scan(from)[0];
            // Nearer than a third of a metre its foot is below the picture.
            if !(0.4..=4.0).contains(&measured) {
                continue;
            }
            let seen = ahead(&image).unwrap();
            let off = (seen - measured).abs();
            assert!(
                off < 0.06 + 0.04 * measured,
                "{seen} for {measured}, {heading}"
            );
            compared += 1;
        }
        assert!(compared > 10, "{compared}");
    }

    #[test]
    fn an_image_with_too_few_bytes_shows_nothing() {
        let image = Image {
            width: 640,
            height: 480,
            focal_px: 320.0,
            eye_m: 0.25,
            rgb: vec![1, 2, 3].into(),
        };
        assert_eq!(ahead(&image), None);
    }
}
