//! What is told of a stream: to the directory, to tools, to whoever counts.

use std::sync::atomic::Ordering;

use super::{
    super::report::{StreamReport, SubscriberReport},
    HEARD, Source,
};
use crate::{StreamCounters, directory::facts::StreamFacts};

impl Source {
    /// What others are told of it.
    pub(crate) fn facts(&self) -> StreamFacts {
        StreamFacts {
            name: self.name().stream().to_string(),
            type_name: self.kind.type_name.to_owned(),
            reliable: self.qos.is_reliable(),
            depth: self.qos.depth,
            keep_last: self.qos.keep_last,
            fingerprint: self
                .kind
                .layout
                .as_ref()
                .map(|it| it.fingerprint().to_string()),
        }
    }

    pub(crate) fn counters(&self) -> StreamCounters {
        let state = self.state.lock();
        StreamCounters {
            stream: self.text(),
            published: self.count.load(Ordering::Acquire) & !HEARD,
            subscribers: state.ports.iter().map(SubscriberReport::from).collect(),
        }
    }

    pub(crate) fn report(&self) -> StreamReport {
        // Not under the lock: it is the type's own code.
        let schema = (self.kind.schema)().to_string();
        let state = self.state.lock();
        StreamReport {
            component: self.name().component().to_string(),
            stream: self.name().stream().to_string(),
            type_name: self.kind.type_name.to_owned(),
            fingerprint: self
                .kind
                .layout
                .as_ref()
                .map(|it| it.fingerprint().to_string()),
            layout: self.kind.layout.as_ref().map(|it| it.text().to_owned()),
            schema,
            reliable: self.qos.is_reliable(),
            depth: self.qos.depth,
            keep_last: self.qos.keep_last,
            published: self.count.load(Ordering::Acquire) & !HEARD,
            subscribers: state.ports.iter().map(SubscriberReport::from).collect(),
        }
    }
}
