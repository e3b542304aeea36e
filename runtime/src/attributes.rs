//! The attribute macros, with the documentation that people read.

/// Makes a struct or an enum something that messages and replies are made of.
///
/// It derives serde's `Serialize` and `Deserialize` and schemars' `JsonSchema`, so that a crate
/// which uses it needs neither of the two in its manifest. Nothing else is derived: write
/// `Debug`, `Clone` and whatever you need yourself.
///
/// ```
/// #[botzilla::data]
/// #[derive(Debug, Default, PartialEq)]
/// pub struct Odometry {
///     pub x_m: f64,
///     pub y_m: f64,
///     pub heading_rad: f64,
/// }
/// ```
///
/// # Derives go below the attribute
///
/// A `#[derive(Serialize)]` *above* it is invisible to it, so there would be two; below it, the
/// attribute sees it and leaves its own out.
///
/// # What data can't be
///
/// The same type travels as bincode, which tells fields by their place, and as JSON. What bincode
/// can't carry is refused where the attribute sees it: `untagged`, `tag`, `flatten`,
/// `skip_serializing_if`, a field skipped in one direction only and a skipped variant (a field
/// that is skipped in both directions by `skip` is fine). Data owns what it holds: no lifetimes and
/// no references. Type parameters are fine, on data though not on a message.
///
/// ```compile_fail
/// #[botzilla::data]
/// #[serde(untagged)] // nothing in the bytes would say which variant it is
/// enum Goal {
///     Pose { x_m: f64, y_m: f64 },
///     Name(String),
/// }
/// ```
pub use botzilla_macros::data;

/// Makes a struct or an enum a message: [`data`] with a name on the network and a reply.
///
/// | argument | meaning | unless given |
/// | --- | --- | --- |
/// | `reply = Type` | what answers it | `()` |
/// | `name = ".."` | what it is called on the network | the type's identifier |
///
/// ```
/// use botzilla::Message;
///
/// #[botzilla::data]
/// pub struct Odometry {
///     pub x_m: f64,
///     pub y_m: f64,
/// }
///
/// /// Commanded body velocity.
/// #[botzilla::message(reply = Odometry)]
/// pub struct SetVelocity {
///     pub linear_mps: f64,
///     pub angular_rps: f64,
/// }
///
/// #[botzilla::message(name = "base/stop")]
/// pub struct EmergencyStop {
///     pub reason: String,
/// }
///
/// assert_eq!(SetVelocity::NAME, "SetVelocity");
/// assert_eq!(EmergencyStop::NAME, "base/stop");
/// ```
///
/// A reply that can fail is a `Result` whose two sides are data; tools then show its `Err` as a
/// failure. Messages aren't generic: all instances would share one name. All else that is said of
/// [`data`] holds for messages: derives go below the attribute.
///
/// ```
/// # #[botzilla::data]
/// # pub struct Arrived;
/// #[botzilla::data]
/// pub enum FollowError {
///     Blocked { at_m: f64 },
///     LowBattery,
/// }
///
/// #[botzilla::message(reply = Result<Arrived, FollowError>)]
/// pub struct Follow {
///     pub path: Vec<(f64, f64)>,
/// }
/// ```
pub use botzilla_macros::message;

/// Makes an `impl` block a component: the functions in it that are marked [`handler`] answer
/// messages, and the rest stay what they are.
///
/// | argument | meaning |
/// | --- | --- |
/// | `groups = ["..", ..]` | the groups that it joins wherever it is spawned |
///
/// ```
/// use botzilla::prelude::*;
///
/// #[botzilla::message]
/// pub struct EmergencyStop {
///     pub reason: String,
/// }
///
/// #[botzilla::message(reply = f64)]
/// pub struct Drive {
///     pub distance_m: f64,
/// }
///
/// #[derive(Default)]
/// struct Base {
///     driven_m: f64,
///     stopped: bool,
/// }
///
/// #[botzilla::component(groups = ["base"])]
/// impl Base {
///     #[botzilla::handler]
///     fn drive(&mut self, msg: Drive) -> f64 {
///         self.driven_m += msg.distance_m;
///         self.driven_m
///     }
///
///     #[botzilla::handler(broadcast, urgent)]
///     fn stop(&mut self, _: EmergencyStop) {
///         self.stopped = true;
///     }
/// }
/// ```
///
/// The state is the type of the block. It lives as long as its actor, so it owns what it holds:
/// no lifetimes. It may have type parameters, `'static` ones. There is one such block a type;
/// further functions go in an ordinary `impl`.
pub use botzilla_macros::component;

/// Marks a function as the one that answers a message.
///
/// # In a component
///
/// Under [`component`] it is a method, sync or async, that takes `&mut self` or `&self` and its
/// message by value, then the context if it wants it, and returns the message's reply. An async
/// one holds the component until it ends. Without `self` it runs beside the others.
///
/// ```
/// use botzilla::prelude::*;
///
/// # #[botzilla::message(reply = Result<u32, String>)]
/// # pub struct Calibrate { pub rounds: u32 }
/// # #[botzilla::message(reply = String)]
/// # pub struct WhoAreYou;
/// # #[botzilla::message]
/// # pub struct Stop;
/// # struct Arm { offset: u32 }
/// #[botzilla::component]
/// impl Arm {
///     #[botzilla::handler(abort)]
///     async fn calibrate(&mut self, msg: Calibrate, ctx: &Ctx<Self>) -> Result<u32, String> {
///         // ..
/// #       let _ = (msg, ctx);
///         Ok(self.offset)
///     }
///
///     #[botzilla::handler(broadcast, urgent)]
///     fn stop(&mut self, _: Stop) {
///         self.offset = 0;
///     }
///
///     #[botzilla::handler]
///     async fn who_are_you(_: WhoAreYou, ctx: &Ctx<Self>) -> String {
///         ctx.name().to_string()
///     }
/// }
/// ```
///
/// | option | meaning |
/// | --- | --- |
/// | `broadcast` | broadcasts reach it too |
/// | `urgent` | it goes before all that waits, and drops an async handler that is running |
/// | `abort` | dropped at its next await when its caller no longer waits; only for async ones |
/// | `expect_every = "200ms", missed = stop_motors` | what is done when no message comes; see below |
///
/// # On a stream
///
/// With `stream = ".."` it is no message's handler but a stream's, or that of all that match a
/// pattern: each item is a turn of the component, in turn with its messages. It takes the item as
/// `Scan` (cloned if others have it too), `&Scan`, `Arc<Scan>` or `Item<Scan>`, which knows its number
/// and what was missed; and it returns nothing.
///
/// What a subscription has to say besides, such as that it was cut off, is logged, and what that
/// counts as missed the next item tells. A handler that takes `Result<Item<Scan>, StreamError>` is
/// given it instead.
///
/// ```
/// use botzilla::prelude::*;
///
/// # #[botzilla::data]
/// # pub struct Scan { ranges_m: Vec<f32> }
/// # #[derive(Default)] struct Planner { nearest_m: f32 }
/// #[botzilla::component]
/// impl Planner {
///     #[botzilla::handler(stream = "lidar/scan", latest = 1, at_most = 5.0)]
///     fn on_scan(&mut self, scan: &Scan) {
///         self.nearest_m = scan.ranges_m.iter().copied().fold(f32::INFINITY, f32::min);
///     }
/// }
/// ```
///
/// | option | meaning |
/// | --- | --- |
/// | `stream = "lidar/scan"` | what it is subscribed to; or a pattern, as in `*/scan`, `group:base/*` |
/// | `latest = 4` | the newest 4 wait; the oldest are dropped for newer ones, and counted |
/// | `reliable` | every item, as far as the publisher is reliable |
/// | `depth = 16` | how many may wait |
/// | `at_most = 5.0` | so many a second; the others are left out by the publisher |
/// | `keep_last = 1` | so many of before the subscription, as far as the publisher keeps them |
/// | `resubscribe = false` | once it was cut off, that was all |
/// | `expect_every = "200ms", missed = stop_motors` | what is done when no item comes; see below |
///
/// # Input that is expected
///
/// A handler with `self` or without, of a message or of a stream, may expect input: if it is silent for
/// as long as `expect_every` says (`ms`, `s` or `min`; 1 ms to 24 hours), the method that `missed` names
/// is a turn of the component. It takes `&mut self` or `&self`, and `ctx: &Ctx<Self>` if it likes; it is
/// sync or async, and stands in the same block.
///
/// ```
/// use botzilla::prelude::*;
///
/// # #[botzilla::message]
/// # pub struct SetVelocity { linear_mps: f64 }
/// # #[botzilla::data]
/// # pub struct Scan { ranges_m: Vec<f32> }
/// # #[derive(Default)] struct Drive { linear_mps: f64 }
/// #[botzilla::component]
/// impl Drive {
///     #[botzilla::handler(expect_every = "200ms", missed = stop_motors)]
///     fn set_velocity(&mut self, msg: SetVelocity) {
///         self.linear_mps = msg.linear_mps;
///     }
///
///     #[botzilla::handler(stream = "lidar/scan", expect_every = "1.5s", missed = stop_motors)]
///     fn on_scan(&mut self, _: &Scan) {}
///
///     fn stop_motors(&mut self) {
///         self.linear_mps = 0.0;
///     }
/// }
/// ```
///
/// - It runs **once for each silence**, and again after input has come back. The time begins when the
///   component is served (`on_start` is done, and after each restart anew), and ends when it is told to
///   stop.
/// - What counts is a message or an item that the handler is given, whoever sends it, or that waits for
///   its turn. What is refused before its handler runs (it can't be read, it was cancelled, its time was
///   over) doesn't, nor does a stream's error: a publisher that died is silent. A caller that waits for
///   its reply sends nothing meanwhile, so a handler that takes longer than `expect_every` is missed.
/// - It goes **before all that waits**, urgent messages too, and drops an async handler that is running at
///   its next await (its caller gets `Interrupted`), but not one that is urgent. Nothing interrupts it but
///   the component's end. A handler that blocks its thread holds it up.
/// - A silence that the component couldn't see, because its thread or its process stood still, is told
///   once, before the message that ended it.
/// - A panic in it is a panic of the component.
///
/// The clock is a monotonic one; a silence is seen up to 4 ms late, never early.
///
/// # Replies
///
/// A reply that comes later is a `Later` of the reply's type, from `ctx.reply_later()`.
///
/// # On a free function
///
/// A function that takes a message and returns its reply is a component without state. It stays an
/// ordinary function; the attribute only proves that it can be spawned. It takes no options, and
/// its groups go where it is spawned.
///
/// ```
/// # #[botzilla::message(reply = Pong)]
/// # pub struct Ping { pub sent_ns: u64 }
/// # #[botzilla::data]
/// # pub struct Pong { pub sent_ns: u64 }
/// #[botzilla::handler]
/// async fn ping(msg: Ping) -> Pong {
///     Pong { sent_ns: msg.sent_ns }
/// }
/// ```
pub use botzilla_macros::handler;

/// Marks the method of a [`component`] that runs before its first message, and again after each
/// restart.
///
/// Sync or async, with `ctx: &Ctx<Self>` or without. It returns nothing, or a `Result<(), E>` whose
/// error keeps the component from starting.
///
/// ```
/// # struct Lidar { device: String }
/// #[botzilla::component]
/// impl Lidar {
///     #[botzilla::on_start]
///     fn open(&mut self) -> Result<(), std::io::Error> {
///         std::fs::File::open(&self.device).map(drop)
///     }
///
///     #[botzilla::on_stop]
///     fn close(&mut self) {
///         self.device.clear();
///     }
/// }
/// ```
pub use botzilla_macros::on_start;

/// Marks the method of a [`component`] that runs after each restart, on the new state and before [`on_start`], and
/// is told why there was one.
///
/// Sync or async, with `reason: RestartReason` and `ctx: &Ctx<Self>`, or one of the two, or neither. It returns
/// nothing, or a `Result<(), E>` whose error means that this restart failed too: what happens then is in the table
/// at [`Restart`](crate::Restart).
///
/// ```
/// use botzilla::{RestartReason, prelude::*};
///
/// # #[derive(Default)] struct Drive { is_homed: bool }
/// #[botzilla::component]
/// impl Drive {
///     #[botzilla::on_restart]
///     fn restarting(&mut self, reason: RestartReason, ctx: &Ctx<Self>) {
///         eprintln!("{} starts over: {reason}", ctx.name());
///         self.is_homed = false;
///     }
/// }
/// ```
pub use botzilla_macros::on_restart;

/// Marks the method of a [`component`] that runs after its last message, before the state is
/// dropped; not after a panic.
///
/// It runs too when a component that didn't fail is rebuilt: since it stopped itself, or since one that it
/// [restarts with](crate::OneForAll) failed. Then it has 5 s.
///
/// Sync or async, with `ctx: &Ctx<Self>` or without; it returns nothing. [`on_start`] has an example.
pub use botzilla_macros::on_stop;

/// Runs an `async fn main` in an actix system on the main thread.
///
/// It returns nothing, or a `Result` such as `botzilla::Result<()>`. An error is printed as one
/// line with its causes, and the program ends with exit code 2.
///
/// Warnings go to stderr (`RUST_LOG` asks for more or less of them), unless the program has set up
/// a `tracing` subscriber before its first node.
///
/// ```
/// #[botzilla::main]
/// async fn main() -> botzilla::Result<()> {
///     println!("no robot today");
///     Ok(())
/// }
/// ```
pub use botzilla_macros::main;
