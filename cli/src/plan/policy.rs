//! What is asked of a policy.

use std::path::PathBuf;

use botzilla::policy::Request;
use botzilla_wire::ident::Name;

use crate::{args::policy::Check, error::CliError};

/// A policy to be read, and what is asked of it, if anything is.
pub(crate) struct PolicyPlan {
    pub(crate) file: PathBuf,
    pub(crate) question: Option<Question>,
}

/// Whether the holder of a secret may do something.
pub(crate) struct Question {
    pub(crate) key: String,
    pub(crate) verb: &'static str,
    pub(crate) what: String,
}

pub(super) fn check(check: Check) -> Result<PolicyPlan, CliError> {
    let Check {
        file,
        key,
        call,
        publish,
        subscribe,
        register,
    } = check;
    let asked = [
        ("call", call),
        ("publish", publish),
        ("subscribe", subscribe),
        ("register", register),
    ];
    let asked = asked
        .into_iter()
        .find_map(|(verb, what)| Some((verb, what?)));
    let question = key
        .zip(asked)
        .map(|(key, (verb, what))| Question { key, verb, what });
    if let Some(question) = &question {
        question.check()?;
    }
    Ok(PolicyPlan { file, question })
}

impl Question {
    /// As the policy takes it. `None`: it is none.
    pub(crate) fn request(&self) -> Option<Request<'_>> {
        let what = &*self.what;
        match self.verb {
            "call" => Request::call(what),
            "publish" => Some(Request::Publish(what)),
            "subscribe" => Some(Request::Subscribe(what)),
            _ => Some(Request::Register(what)),
        }
    }

    /// A pattern, or half of a name, would get an answer that means nothing.
    fn check(&self) -> Result<(), CliError> {
        let Self { verb, what, .. } = self;
        let bad = |remedy: &str| {
            CliError::not_asked(format!("--{verb} {what:?} names nothing: {remedy}"))
        };
        let (component, own) = match *verb {
            "register" => (&**what, "x"),
            "call" => what
                .rsplit_once('/')
                .ok_or_else(|| bad("write component/message, such as drive/Stop"))?,
            _ => what
                .rsplit_once('/')
                .ok_or_else(|| bad("write component/stream, such as lidar/scan"))?,
        };
        if own.is_empty() || what.contains('*') {
            return Err(bad("ask for one of that name, not for a pattern"));
        }
        Name::new(component).map_err(|error| bad(&error.to_string()))?;
        Ok(())
    }
}
