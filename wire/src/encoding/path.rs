//! Where in a value an error was.

use std::fmt::Write as _;

/// One step on the way from the outermost value to where an error was.
#[derive(Debug)]
pub(super) enum Segment {
    Name(Box<str>),
    Index(usize),
}

/// The error with its path, which was collected inside out.
pub(super) fn show_path(error: &str, path: Vec<Segment>) -> String {
    if path.is_empty() {
        return error.to_owned();
    }
    let mut text = String::new();
    for segment in path.into_iter().rev() {
        // Writing to a string doesn't fail.
        let _ = match segment {
            Segment::Name(name) if text.is_empty() => write!(text, "{name}"),
            Segment::Name(name) => write!(text, ".{name}"),
            Segment::Index(index) => write!(text, "[{index}]"),
        };
    }
    format!("`{text}`: {error}")
}
