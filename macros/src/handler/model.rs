//! A function that answers a message, as the user wrote it.

use syn::{
    Attribute, FnArg, PatType, PathArguments, Receiver, ReceiverKind, ReturnType, Signature, Type,
};

use super::args::Options;

pub(crate) struct Handler {
    pub(crate) sig: Signature,
    pub(crate) options: Options,
    /// The `#[cfg(..)]` on it, which its impl and its route need too.
    pub(crate) cfgs: Vec<Attribute>,
    pub(crate) receiver: Option<Receiver>,
    /// Every parameter that isn't a context: one, if all is well.
    pub(crate) messages: Vec<PatType>,
    /// Every parameter that is a context.
    pub(crate) contexts: Vec<PatType>,
}

impl Handler {
    /// The message's type, if there is one message. An item of a stream is none.
    pub(crate) fn message(&self) -> Option<&Type> {
        match self.messages.as_slice() {
            [message] if self.options.stream.is_none() => Some(&message.ty),
            _ => None,
        }
    }

    /// The type of what comes on its stream, if it is a stream's.
    pub(crate) fn item(&self) -> Option<&Type> {
        match self.messages.as_slice() {
            [item] if self.options.stream.is_some() => Some(&item.ty),
            _ => None,
        }
    }

    pub(crate) fn is_async(&self) -> bool {
        self.sig.asyncness.is_some()
    }
}

/// Sorts a signature's parameters.
pub(crate) fn read(sig: &Signature, options: Options, cfgs: Vec<Attribute>) -> Handler {
    let mut handler = Handler {
        sig: sig.clone(),
        options,
        cfgs,
        receiver: None,
        messages: Vec::new(),
        contexts: Vec::new(),
    };
    for input in &sig.inputs {
        match input {
            FnArg::Receiver(receiver) => handler.receiver = Some(receiver.clone()),
            FnArg::Typed(param) if is_context(&param.ty) => handler.contexts.push(param.clone()),
            FnArg::Typed(param) => handler.messages.push(param.clone()),
        }
    }
    handler
}

/// The `#[cfg(..)]` among the attributes.
pub(crate) fn cfgs(attributes: &[Attribute]) -> Vec<Attribute> {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"))
        .cloned()
        .collect()
}

/// Whether a type is `Ctx`, or a reference to it.
fn is_context(ty: &Type) -> bool {
    context_arguments(ty).is_some()
}

/// What `Ctx` stands with in a type: its `<Self>`, or nothing.
pub(crate) fn context_arguments(ty: &Type) -> Option<&PathArguments> {
    match ty {
        Type::Reference(reference) => context_arguments(&reference.elem),
        Type::Group(group) => context_arguments(&group.elem),
        Type::Paren(paren) => context_arguments(&paren.elem),
        Type::Path(path) => {
            let last = path.path.segments.last()?;
            (last.ident == "Ctx").then_some(&last.arguments)
        }
        _ => None,
    }
}

/// How a method gets its state.
pub(crate) enum Access {
    /// `&self` or `&mut self`, however it is spelled.
    Borrowed,
    Owned,
}

pub(crate) fn access(receiver: &Receiver) -> Access {
    match &receiver.kind {
        ReceiverKind::Reference(..) => Access::Borrowed,
        ReceiverKind::Typed(_, ty) => match &**ty {
            Type::Reference(reference) if is_self(&reference.elem) => Access::Borrowed,
            _ => Access::Owned,
        },
        _ => Access::Owned,
    }
}

fn is_self(ty: &Type) -> bool {
    matches!(ty, Type::Path(path) if path.path.is_ident("Self"))
}

/// The type that a function returns, if it is written.
pub(crate) fn returned(output: &ReturnType) -> Option<&Type> {
    match output {
        ReturnType::Default => None,
        ReturnType::Type(_, ty) => Some(ty),
    }
}
