//! Robot programs to copy from, and the robot that `botzilla demo` drives.

pub mod geometry;
pub mod nav;
pub mod picture;
pub mod robot;
pub mod sim;
