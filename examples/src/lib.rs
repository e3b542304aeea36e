//! Robot programs to copy from, and the robot that `botzilla demo` drives.

pub mod demo;
pub mod geometry;
pub mod nav;
pub mod picture;
pub mod robot;
pub mod setup;
pub mod sim;

pub use setup::{node, registry_blocking};
