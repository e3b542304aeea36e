//! Who waits for whom: the path of a nested ask, ambient while a handler is polled.

use std::{cell::RefCell, sync::Arc, time::Instant};

use botzilla_wire::Name;

/// What a handler's own asks inherit while it is polled.
#[derive(Clone, Debug)]
pub(crate) struct Ambient {
    /// The component that waits with the handler; none for a handler without state.
    pub(crate) component: Option<Name>,
    /// Who waits for that handler already.
    pub(crate) path: Option<Arc<[Name]>>,
    pub(crate) deadline: Instant,
}

thread_local! {
    static CURRENT: RefCell<Option<Ambient>> = const { RefCell::new(None) };
}

impl Ambient {
    /// Runs `f`, one poll of a handler, with `ambient` as its ambience.
    pub(crate) fn enter<T>(ambient: &mut Option<Self>, f: impl FnOnce() -> T) -> T {
        CURRENT.with_borrow_mut(|current| std::mem::swap(current, ambient));
        // The handler's panics are caught inside `f`; the guard is for whatever isn't.
        let _restore = Restore(ambient);
        f()
    }

    /// For a handler with which its component doesn't wait.
    pub(crate) fn of_nobody(self) -> Self {
        Self {
            component: None,
            ..self
        }
    }

    /// What the code that runs now inherits.
    pub(crate) fn current() -> Option<Self> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Whether the code that runs now is a handler's.
    #[inline]
    pub(crate) fn is_any() -> bool {
        CURRENT.with_borrow(Option::is_some)
    }

    /// Whether a component waits for the code that runs now.
    pub(crate) fn holds_up(component: &Name) -> bool {
        CURRENT.with_borrow(|current| {
            let current = current.as_ref();
            current.is_some_and(|ambient| ambient.waits_already(component))
        })
    }

    /// The path that a nested ask carries: all who wait once this handler waits too.
    pub(crate) fn nested_path(&self) -> Arc<[Name]> {
        self.path
            .iter()
            .flat_map(|path| path.iter())
            .chain(&self.component)
            .cloned()
            .collect()
    }

    pub(crate) fn waits_already(&self, target: &Name) -> bool {
        self.component.as_ref() == Some(target)
            || self
                .path
                .as_deref()
                .is_some_and(|path| path.contains(target))
    }
}

/// Moved in and out again: a poll costs no copies.
struct Restore<'a>(&'a mut Option<Ambient>);

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        CURRENT.with_borrow_mut(|current| std::mem::swap(current, self.0));
    }
}
