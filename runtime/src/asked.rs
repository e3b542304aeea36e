//! A local ask in one allocation: the message on its way in, the outcome on its way out.
//!
//! One has it at a time: the component's queue, whoever runs it, its asker in the end.

use std::mem;

use botzilla_wire::Failure;

use crate::{Message, call::Head, contain, open::Parcel};

pub(crate) enum Asked<M: Message> {
    Message(Head, M),
    /// The component has the message.
    Begun,
    Outcome(Result<M::Reply, Failure>),
}

impl<M: Message> Asked<M> {
    /// The message, if it is still there.
    #[inline]
    pub(crate) fn take_message(&mut self) -> Option<(Head, M)> {
        match mem::replace(self, Self::Begun) {
            Self::Message(head, message) => Some((head, message)),
            other => {
                *self = other;
                None
            }
        }
    }

    /// What became of it; none if it never ran.
    #[inline]
    pub(crate) fn outcome_of(parcel: Option<Parcel>) -> Option<Result<M::Reply, Failure>> {
        let asked = parcel?.downcast::<Self>();
        match *asked.expect("its asker made it, of this type") {
            Self::Outcome(outcome) => Some(outcome),
            Self::Message(..) | Self::Begun => None,
        }
    }
}

/// For whoever knows only what answers the message.
pub(crate) trait Answering<R>: Send {
    fn answer(self: Box<Self>, outcome: Result<R, Failure>) -> Parcel;
}

impl<M: Message> Answering<M::Reply> for Asked<M> {
    #[inline]
    fn answer(mut self: Box<Self>, outcome: Result<M::Reply, Failure>) -> Parcel {
        // Who answers has taken the message, as a rule: then there is nothing to move out.
        if let Self::Message(..) = *self {
            contain::drop_value(self.take_message());
        }
        *self = Self::Outcome(outcome);
        self
    }
}
