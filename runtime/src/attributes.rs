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
