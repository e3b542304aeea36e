//! Patterns over names: `*` within one segment, `**` over segments.

use std::fmt;

/// What a pattern is compared with, one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Symbol {
    Byte(u8),
    /// A slash in a message's own name. It is no end of a segment, or `a/b/Go` would mean both `Go` of
    /// the component `a/b` and `b/Go` of the component `a`: so nothing but `**` means it.
    Inner,
    /// A pattern's own `*` and `**`, where patterns are compared with each other.
    Any,
    All,
}

/// One pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    text: String,
    parts: Vec<Symbol>,
}

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// It is empty, has three stars in a row, or characters that nothing is named with.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a pattern can't be empty".to_owned());
        }
        if text.contains("***") {
            return Err("a pattern has `*` (within a segment) or `**` (over segments)".to_owned());
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("a pattern has no blanks; give a list of patterns".to_owned());
        }
        let mut parts = Vec::with_capacity(text.len());
        let mut bytes = text.bytes().peekable();
        while let Some(byte) = bytes.next() {
            parts.push(match byte {
                b'*' if bytes.next_if_eq(&b'*').is_some() => Symbol::All,
                b'*' => Symbol::Any,
                byte => Symbol::Byte(byte),
            });
        }
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it can mean something with a slash.
    pub(super) fn spans_segments(&self) -> bool {
        self.parts
            .iter()
            .any(|part| matches!(part, Symbol::All | Symbol::Byte(b'/')))
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        self.accepts(text.bytes().map(Symbol::Byte))
    }

    /// Whether it means a message of a component.
    pub(super) fn matches_call(&self, component: &str, message: &str) -> bool {
        let message = message.bytes().map(|byte| match byte {
            b'/' => Symbol::Inner,
            byte => Symbol::Byte(byte),
        });
        let component = component.bytes().chain([b'/']).map(Symbol::Byte);
        self.accepts(component.chain(message))
    }

    /// Whether it means all that another one does. It may say no where that is so, never yes where it
    /// isn't.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.accepts(other.parts.iter().copied())
    }

    /// All ways of reading it at once: as many steps as both are long, whoever wrote them.
    fn accepts(&self, text: impl Iterator<Item = Symbol>) -> bool {
        let parts = &self.parts;
        let mut here = vec![false; parts.len() + 1];
        let mut next = here.clone();
        here[0] = true;
        skip(parts, &mut here);
        for symbol in text {
            next.fill(false);
            for (at, part) in parts.iter().enumerate().filter(|(at, _)| here[*at]) {
                match part {
                    Symbol::All => next[at] = true,
                    Symbol::Any => next[at] |= is_within(symbol),
                    part => next[at + 1] |= *part == symbol,
                }
            }
            skip(parts, &mut next);
            std::mem::swap(&mut here, &mut next);
        }
        here[parts.len()]
    }
}

/// A star may stand for nothing.
fn skip(parts: &[Symbol], reached: &mut [bool]) {
    for (at, part) in parts.iter().enumerate() {
        if matches!(part, Symbol::Any | Symbol::All) {
            reached[at + 1] |= reached[at];
        }
    }
}

fn is_within(symbol: Symbol) -> bool {
    matches!(symbol, Symbol::Any) || matches!(symbol, Symbol::Byte(byte) if byte != b'/')
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn glob(text: &str) -> Glob {
        Glob::new(text).unwrap()
    }

    #[test]
    fn one_star_stays_within_a_segment_and_two_go_over_them() {
        for (pattern, text, matches) in [
            ("drive", "drive", true),
            ("drive", "drives", false),
            ("*", "drive", true),
            ("*", "arm/left", false),
            ("**", "arm/left/joints", true),
            ("arm/*", "arm/left", true),
            ("arm/*", "arm/left/joints", false),
            ("arm/**", "arm/left/joints", true),
            ("arm/**", "arm", false),
            ("**/joints", "arm/left/joints", true),
            ("*/joints", "arm/left/joints", false),
            ("t*t/*n", "tablet/scan", true),
            ("t*t/*n", "tab/let/scan", false),
            ("a*b*c", "abbbc", true),
            ("a*b*c", "abbb", false),
        ] {
            assert_eq!(glob(pattern).matches(text), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn a_slash_in_a_message_moves_it_to_no_other_component() {
        for (pattern, component, message, matches) in [
            ("arm/left/Go", "arm/left", "Go", true),
            ("arm/left/Go", "arm", "left/Go", false),
            ("arm/left/*", "arm", "left/Go", false),
            ("arm/*", "arm", "left/Go", false),
            ("arm/**", "arm", "left/Go", true),
            ("arm/**", "arm/left", "Go", true),
            ("**", "arm", "left/Go", true),
        ] {
            let found = glob(pattern).matches_call(component, message);
            assert_eq!(found, matches, "{pattern} {component} {message}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for bad in ["", "***", "a b", "a\n", "x/****"] {
            assert!(Glob::new(bad).is_err(), "{bad:?}");
        }
    }

    /// As the documentation says it, without any cleverness.
    fn plainly(pattern: &[Symbol], text: &[u8]) -> bool {
        match pattern {
            [] => text.is_empty(),
            [Symbol::All, rest @ ..] => (0..=text.len()).any(|at| plainly(rest, &text[at..])),
            [Symbol::Any, rest @ ..] => {
                let most = text.iter().position(|byte| *byte == b'/');
                (0..=most.unwrap_or(text.len())).any(|at| plainly(rest, &text[at..]))
            }
            [Symbol::Byte(byte), rest @ ..] => {
                text.first() == Some(byte) && plainly(rest, &text[1..])
            }
            [Symbol::Inner, ..] => false,
        }
    }

    fn pattern() -> impl Strategy<Value = Glob> {
        let part = prop_oneof![Just("a"), Just("b"), Just("/"), Just("*"), Just("**")];
        proptest::collection::vec(part, 1..8)
            .prop_filter_map("three stars", |parts| Glob::new(&parts.concat()).ok())
    }

    proptest! {
        #[test]
        fn a_pattern_means_what_is_documented(glob in pattern(), text in "[ab/]{0,8}") {
            prop_assert_eq!(glob.matches(&text), plainly(&glob.parts, text.as_bytes()));
        }

        #[test]
        fn what_covers_another_means_all_that_it_means(
            wide in pattern(), narrow in pattern(), text in "[ab/]{0,8}",
        ) {
            if wide.covers(&narrow) && narrow.matches(&text) {
                prop_assert!(wide.matches(&text));
            }
            prop_assert!(narrow.covers(&narrow));
            prop_assert!(glob("**").covers(&narrow));
        }

        #[test]
        fn a_pattern_without_a_double_star_never_leaves_its_segments(
            text in "[ab/]{0,8}", pattern in "[ab/*]{1,8}",
        ) {
            prop_assume!(!pattern.contains("**"));
            let slashes = |text: &str| text.matches('/').count();
            if glob(&pattern).matches(&text) {
                prop_assert_eq!(slashes(&pattern), slashes(&text));
            }
        }
    }
}
