//! The robot: five components that people copy from.
//!
//! | component | what it does | groups |
//! | --- | --- | --- |
//! | `drive` | turns the wheels (here: of a simulated robot), says where it is | `base` |
//! | `lidar` | measures all around | `base` |
//! | `planner` | maps the floor, plans a path, follows it | `base` |
//! | `battery` | counts what is drawn | `base` |
//! | `operator` | sends it somewhere; stops everything | `desk` |
//!
//! They know each other by name only, so they run in one process, in one each, or on several
//! machines, without a line changed.

pub mod messages;
