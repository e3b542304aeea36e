//! Why nothing comes, as far as it is known: told once for each reason.

use std::{pin::Pin, time::Duration};

use botzilla::directory::messages::Listed;

use crate::{client::Client, plan::stream::Wanted};

/// What the registry has to answer in.
const ASKED: Duration = Duration::from_secs(1);

/// Listens to silence.
pub(super) struct Silence<'a> {
    client: &'a Client,
    what: &'a Wanted,
    heard: Heard,
    /// What was told last: the same is no news.
    told: Option<Heard>,
    asking: Option<Pin<Box<dyn Future<Output = String> + 'a>>>,
}

/// How far a subscription has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// There was no publisher yet.
    Nobody,
    /// There is one.
    Somebody,
    /// There was one.
    Gone,
}

impl<'a> Silence<'a> {
    pub(super) fn new(client: &'a Client, what: &'a Wanted) -> Self {
        Self {
            client,
            what,
            heard: Heard::Nobody,
            told: None,
            asking: None,
        }
    }

    /// Another second is over. What there is to tell comes from [`Silence::reason`].
    pub(super) fn look(&mut self, items: u64, publishers: &[String]) {
        self.heard = match (publishers, self.heard) {
            // One may have come and gone within a second: its items tell.
            ([], Heard::Nobody) if items == 0 => Heard::Nobody,
            ([], _) => Heard::Gone,
            _ => Heard::Somebody,
        };
        let is_told = self.told == Some(self.heard);
        let client = self.client;
        let what = self.what;
        match self.heard {
            _ if is_told => {}
            Heard::Nobody => self.asking = Some(Box::pin(nobody(client, &what.selector))),
            Heard::Somebody if items == 0 => {
                let publishers = publishers.to_vec();
                self.asking = Some(Box::pin(nothing(client, publishers, what.keep_last)));
            }
            Heard::Somebody => self.asking = None,
            Heard::Gone => {
                let text = format!(
                    "nobody publishes {} any more; waiting for who does",
                    what.selector
                );
                self.asking = Some(Box::pin(std::future::ready(text)));
            }
        }
        self.told = Some(self.heard);
    }

    /// Why nothing comes, once there is something to say. Cancel safe.
    pub(super) async fn reason(&mut self) -> String {
        let Some(asking) = &mut self.asking else {
            return std::future::pending().await;
        };
        let text = asking.await;
        self.asking = None;
        text
    }
}

async fn listed(client: &Client) -> Vec<Listed> {
    // Without an answer the same holds, only that less is known.
    let listed = tokio::time::timeout(ASKED, client.list_now()).await;
    let listed = listed.ok().and_then(Result::ok);
    listed.map_or(Vec::new(), |(components, _)| components)
}

/// There is no publisher.
async fn nobody(client: &Client, selector: &str) -> String {
    let names: Vec<String> = listed(client)
        .await
        .iter()
        .flat_map(|listed| {
            let streams = listed.streams.iter();
            streams.map(|stream| format!("{}/{}", listed.name, stream.name))
        })
        .collect();
    if names.iter().any(|name| name == selector) {
        return format!("waiting for {selector}: its publisher isn't connected yet");
    }
    let close = botzilla::directory::similar(selector, names.iter().map(String::as_str));
    let close = match &*close {
        [] => String::new(),
        close => format!("; close names: {}", close.join(", ")),
    };
    format!("waiting for {selector}, which nobody publishes yet{close}")
}

/// There are publishers, and they publish nothing.
async fn nothing(client: &Client, publishers: Vec<String>, asked: u32) -> String {
    let mut text = format!(
        "connected to {}, which has published nothing since",
        publishers.join(", ")
    );
    let listed = listed(client).await;
    let kept = listed.iter().flat_map(|listed| {
        let ours = listed.streams.iter();
        ours.filter(|stream| publishers.contains(&format!("{}/{}", listed.name, stream.name)))
            .map(|stream| stream.keep_last)
    });
    if asked == 0
        && let Some(many) = kept.max().filter(|many| *many > 0)
    {
        let them = if many == 1 { "one" } else { "ones" };
        text.push_str(&format!(
            "; it keeps the last {them}: `stream echo --keep-last {many}` shows that"
        ));
    }
    text
}
