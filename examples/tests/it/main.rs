//! The robot's components from outside.

mod components;
mod demo;
