//! Who waits for whom: the path of a nested ask, ambient while a handler is polled.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Instant};

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

/// The same on the handler's own thread, for each of its messages: handles of the name that other
/// threads may have, too, would cost more.
#[derive(Debug)]
pub(crate) struct Ambience {
    pub(crate) component: Option<Rc<Name>>,
    pub(crate) path: Option<Arc<[Name]>>,
    pub(crate) deadline: Instant,
}

thread_local! {
    static CURRENT: RefCell<Option<Ambience>> = const { RefCell::new(None) };
}

impl Ambience {
    /// Runs `f`, one poll of a handler, with `ambience` around it.
    pub(crate) fn enter<T>(ambience: &mut Option<Self>, f: impl FnOnce() -> T) -> T {
        CURRENT.with_borrow_mut(|current| std::mem::swap(current, ambience));
        // The handler's panics are caught inside `f`; the guard is for whatever isn't.
        let _restore = Restore(ambience);
        f()
    }

    /// For a handler with which its component doesn't wait.
    pub(crate) fn of_nobody(self) -> Self {
        Self {
            component: None,
            ..self
        }
    }
}

impl Ambient {
    /// What the code that runs now inherits.
    pub(crate) fn current() -> Option<Self> {
        CURRENT.with_borrow(|current| {
            current.as_ref().map(|current| Self {
                component: current.component.as_deref().cloned(),
                path: current.path.clone(),
                deadline: current.deadline,
            })
        })
    }

    /// Whether the code that runs now is a handler's.
    #[inline]
    pub(crate) fn is_any() -> bool {
        CURRENT.with_borrow(Option::is_some)
    }

    /// Whether a component waits for the code that runs now.
    pub(crate) fn holds_up(component: &Name) -> bool {
        CURRENT.with_borrow(|current| {
            current.as_ref().is_some_and(|current| {
                let path = current.path.as_deref();
                current.component.as_deref() == Some(component)
                    || path.is_some_and(|path| path.contains(component))
            })
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
struct Restore<'a>(&'a mut Option<Ambience>);

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        CURRENT.with_borrow_mut(|current| std::mem::swap(current, self.0));
    }
}
