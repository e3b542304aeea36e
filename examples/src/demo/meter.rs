//! Rates and losses of all the robot's streams, as an onlooker measures them.

use std::collections::BTreeMap;
use std::convert::Infallible;

use botzilla::{Node, StreamReason, Subscription};
use bytes::Bytes;

use crate::robot::messages::StreamCount;
use crate::robot::tally::Tally;

/// Who counts, in the report.
const WHO: &str = "console";

/// Subscribes to whatever the components of the group `base` publish, now and later, as bytes: to
/// count them needs no types.
#[derive(Debug)]
pub(super) struct Meter {
    items: Subscription<Bytes>,
    streams: BTreeMap<String, Tally>,
}

impl Meter {
    pub(super) async fn subscribe(node: &Node) -> botzilla::Result<Self> {
        Ok(Self {
            items: node.subscribe_raw("group:base/*").await?,
            streams: BTreeMap::new(),
        })
    }

    /// Counts until it is dropped.
    pub(super) async fn listen(&mut self) -> Infallible {
        while let Some(item) = self.items.next().await {
            let item = match item {
                Ok(item) => item,
                // What a cut off cost is told here, and not again by the item that follows.
                Err(error) => {
                    if let StreamReason::CutOff { missed, .. } = error.reason() {
                        let stream = error.stream();
                        let tally = self.streams.entry(stream.to_owned()).or_default();
                        tally.add_missed(stream, *missed);
                    }
                    continue;
                }
            };
            let tally = self.streams.entry(item.stream().to_owned()).or_default();
            tally.add(&item);
            tally.add_bytes(item.len());
        }
        // The node has gone down: nothing comes any more.
        std::future::pending().await
    }

    pub(super) fn counts(&self) -> Vec<StreamCount> {
        let tallies = self.streams.values();
        tallies.map(|tally| tally.count(WHO)).collect()
    }
}
