//! Every shape that a handler and a hook can have, with no name of ours in scope.
#![deny(warnings)]

mod messages {
    #[botzilla::message]
    pub struct Stop;

    #[botzilla::message(reply = u32, name = "drive/count")]
    pub struct Count {
        pub up_to: u32,
    }

    #[botzilla::message(reply = Result<Odometry, FollowError>)]
    #[derive(Debug, Clone)]
    pub struct Follow {
        pub path: Vec<Point<f64>>,
    }

    #[botzilla::message(reply = ())]
    pub enum Mode {
        Idle,
        Speed(f64),
        Goal { x_m: f64 },
    }

    #[botzilla::data]
    #[derive(Default)]
    pub struct Odometry {
        pub x_m: f64,
        #[serde(skip)]
        pub dirty: bool,
    }

    #[botzilla::data]
    pub enum FollowError {
        Blocked,
    }

    #[botzilla::data]
    #[derive(Debug, Clone)]
    pub struct Point<T> {
        pub x: T,
    }
}

use messages::{Count, Follow, FollowError, Mode, Odometry, Stop};

struct Drive<S> {
    sensor: S,
    count: u32,
}

#[botzilla::component(groups = ["base", "all"])]
impl<S: Default> Drive<S> {
    #[botzilla::on_start]
    async fn start(&mut self, ctx: &botzilla::Ctx<Self>) -> Result<(), std::io::Error> {
        let _ = ctx;
        self.sensor = S::default();
        Ok(())
    }

    #[botzilla::on_stop]
    fn stopped(&mut self) {
        self.count = 0;
    }

    // What is called when it is missed may be a hook too.
    #[botzilla::handler(broadcast, urgent, expect_every = "1.5s", missed = stopped)]
    fn stop(&mut self, _: Stop) {
        self.count = 0;
    }

    fn no_mode(&self, ctx: &botzilla::Ctx<Self>) {
        let _ = (ctx, self.count);
    }

    async fn no_path(&mut self) {
        self.count = 0;
    }

    async fn no_count(&self, _: &botzilla::Ctx<Self>) {}

    /// Sync, with the context.
    #[botzilla::handler(expect_every = "200ms", missed = no_mode)]
    pub fn mode(&self, msg: Mode, ctx: &botzilla::Ctx<Self>) {
        let _ = (ctx, self.count);
        match msg {
            Mode::Idle => {}
            Mode::Speed(_) | Mode::Goal { .. } => {}
        }
    }

    #[botzilla::handler(missed = no_path, abort, expect_every = "2min")]
    async fn follow(
        &mut self,
        Follow { path }: Follow,
        ctx: &botzilla::Ctx<Self>,
    ) -> Result<Odometry, FollowError> {
        let _ = ctx;
        let last = path.last().ok_or(FollowError::Blocked)?;
        Ok(Odometry { x_m: last.x, dirty: false })
    }

    #[botzilla::handler(expect_every = "1s", missed = no_count)]
    async fn count(msg: Count) -> u32 {
        msg.up_to
    }
}

struct Arm {
    waiting: Option<botzilla::Replier<u32>>,
}

#[botzilla::component]
impl Arm {
    #[botzilla::on_start]
    fn start(&mut self) {
        self.waiting = None;
    }

    #[botzilla::on_restart]
    async fn again(&mut self, reason: botzilla::RestartReason) -> Result<(), String> {
        Err(reason.to_string())
    }

    #[botzilla::handler]
    fn count(&mut self, _: Count, ctx: &botzilla::Ctx<Self>) -> botzilla::Later<u32> {
        let (replier, later) = ctx.reply_later();
        self.waiting = Some(replier);
        later
    }

    #[botzilla::handler]
    fn mode(_: Mode) {}

    #[cfg(any())]
    #[botzilla::handler(expect_every = "1s", missed = missing)]
    async fn never(&mut self, _: Missing) {}
}

#[botzilla::handler]
async fn count(msg: Count, ctx: &botzilla::Ctx) -> u32 {
    let _ = ctx;
    msg.up_to
}

#[botzilla::handler]
fn stop(_: Stop) {}

fn is_component<C: botzilla::Component>(_: fn() -> C) -> usize {
    C::GROUPS.len()
}

fn main() {
    stop(Stop);
    let _ = count;
    assert_eq!(is_component(|| Drive { sensor: 0_u8, count: 0 }), 2);
    assert_eq!(is_component(|| Arm { waiting: None }), 0);
    assert_eq!(<Count as botzilla::Message>::NAME, "drive/count");
    const { assert!(<Follow as botzilla::Message>::FALLIBLE) };
}
