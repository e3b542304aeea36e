//! An actor runtime for robots.
