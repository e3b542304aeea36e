//! Catching panics of other people's code, and reading what they said.

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    task::Waker,
};

/// How much of a panic's text is kept, in bytes. Callers get less of it: `limits.panic_text`.
const TEXT_MAX: usize = 16 * 1024;

/// A panic that was caught: its text, bounded.
#[derive(Clone, Debug)]
pub(crate) struct Panicked(String);

impl Panicked {
    fn new(payload: Box<dyn Any + Send>) -> Self {
        let text = match payload.downcast_ref::<&'static str>() {
            Some(text) => (*text).to_owned(),
            None => match payload.downcast_ref::<String>() {
                Some(text) => text.clone(),
                None => "(a panic without a text)".to_owned(),
            },
        };
        // A payload's own Drop may panic as well; a second unwinding would end nothing but this call.
        drop(catch_unwind(AssertUnwindSafe(|| drop(payload))));
        Self(shorten(text, TEXT_MAX))
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Runs `f`; a panic in it is an error.
///
/// Whatever `f` was changing is suspect after that: callers drop it.
pub(crate) fn catch<T>(f: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(f)).map_err(Panicked::new)
}

/// Wakes whoever it is. The executor may be anybody's, and who is unwinding already wakes as well:
/// a second panic would end the process.
#[inline]
pub(crate) fn wake(waker: Waker) {
    if let Err(panicked) = catch(|| waker.wake()) {
        woke_badly(&panicked);
    }
}

#[cold]
pub(crate) fn woke_badly(panicked: &Panicked) {
    tracing::error!(%panicked, "a waker panicked");
}

/// Drops what may panic when it is dropped.
pub(crate) fn drop_value<T>(value: T) {
    if std::mem::needs_drop::<T>()
        && let Err(panicked) = catch(|| drop(value))
    {
        tracing::error!(%panicked, dropped = std::any::type_name::<T>(), "a value panicked when it was dropped");
    }
}

/// Cuts at a character's boundary.
pub(crate) fn shorten(mut text: String, max: usize) -> String {
    if text.len() > max {
        let mut end = max.saturating_sub('…'.len_utf8());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_with_a_text_keeps_it_and_a_long_one_is_cut() {
        assert_eq!(
            catch::<()>(|| panic!("wheel {}", 3))
                .unwrap_err()
                .to_string(),
            "wheel 3"
        );
        let long = catch::<()>(|| panic!("{}", "ä".repeat(TEXT_MAX)))
            .unwrap_err()
            .to_string();
        assert!(long.len() <= TEXT_MAX && long.ends_with('…'));
    }

    #[test]
    fn a_waker_that_panics_is_contained_even_while_another_panic_unwinds() {
        struct Bomb;
        impl std::task::Wake for Bomb {
            fn wake(self: std::sync::Arc<Self>) {
                panic!("bomb");
            }
        }
        struct Wakes;
        impl Drop for Wakes {
            fn drop(&mut self) {
                wake(std::sync::Arc::new(Bomb).into());
            }
        }
        let panicked = catch::<()>(|| {
            let _wakes = Wakes;
            panic!("first")
        });
        assert_eq!(panicked.unwrap_err().to_string(), "first");
    }

    #[test]
    fn a_payload_that_panics_when_dropped_is_contained() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("bomb");
            }
        }
        assert!(catch(|| std::panic::panic_any(Bomb)).is_err());
    }
}
