//! A component that sends to all others, and writes down what it runs.

use std::time::Duration;

use botzilla::{Blob, Ctx, PublishError, Publisher, Qos};

use super::traffic;
use crate::diary::{self, Id, Line};

/// What the traffic is like.
#[botzilla::data]
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// To and from whom; a component leaves itself out.
    pub(crate) names: Vec<String>,
    /// What most messages have, in milliseconds.
    pub(crate) within_ms: u64,
    /// A burst of messages to each target this often, in milliseconds.
    pub(crate) every_ms: u64,
    pub(crate) burst: u64,
    /// Bytes of one message in fifty.
    pub(crate) large: usize,
    /// An item this often, in milliseconds, of so many bytes.
    pub(crate) item_every_ms: u64,
    pub(crate) item: usize,
}

/// Asked and told, answered with the process that ran it.
#[botzilla::message(reply = u32)]
pub(crate) struct Note {
    pub(crate) id: Id,
    pub(crate) filler: Blob,
}

/// The same, by a handler that takes a while and lets others run meanwhile.
#[botzilla::message(reply = u32)]
pub(crate) struct Work {
    pub(crate) id: Id,
    pub(crate) filler: Blob,
}

/// The same, before all that waits.
#[botzilla::message(reply = u32)]
pub(crate) struct Halt {
    pub(crate) id: Id,
}

/// For all.
#[botzilla::message]
pub(crate) struct Cast {
    pub(crate) id: Id,
}

/// Begins the traffic.
#[botzilla::message]
pub(crate) struct Begin {
    pub(crate) plan: Plan,
}

/// Which process answers to a name.
#[botzilla::message(reply = u32)]
pub(crate) struct Who {}

#[botzilla::data]
pub(crate) struct Sample {
    pub(crate) pid: u32,
    pub(crate) n: u64,
    pub(crate) filler: Blob,
}

/// Bytes that tell of which number they are.
pub(crate) fn filler(n: u64, len: usize) -> Blob {
    Blob::from(vec![byte(n); len])
}

pub(crate) fn is_filler(n: u64, filler: &Blob) -> bool {
    filler.iter().all(|it| *it == byte(n))
}

fn byte(n: u64) -> u8 {
    (n % 251) as u8
}

#[derive(Default)]
pub(crate) struct Robot {
    listens: bool,
}

impl Robot {
    fn ran(id: Id, intact: bool, ctx: &Ctx<Self>) -> u32 {
        let intact = intact && ctx.sender() == Some(&id.from);
        diary::write(&Line::Ran {
            id,
            by: ctx.name().to_owned(),
            at: diary::now(),
            intact,
        });
        std::process::id()
    }
}

/// Its stream, as long as the process lives.
pub(crate) fn publisher(ctx: &Ctx<Robot>) -> Result<Publisher<Sample>, PublishError> {
    ctx.publish("item", Qos::reliable().depth(64))
}

#[botzilla::component(groups = ["robots"])]
impl Robot {
    #[botzilla::handler]
    fn note(&mut self, msg: Note, ctx: &Ctx<Self>) -> u32 {
        let intact = is_filler(msg.id.n, &msg.filler);
        Self::ran(msg.id, intact, ctx)
    }

    #[botzilla::handler]
    async fn work(&mut self, msg: Work, ctx: &Ctx<Self>) -> u32 {
        let intact = is_filler(msg.id.n, &msg.filler);
        let by = Self::ran(msg.id, intact, ctx);
        tokio::time::sleep(Duration::from_millis(5)).await;
        by
    }

    #[botzilla::handler(urgent)]
    fn halt(&mut self, msg: Halt, ctx: &Ctx<Self>) -> u32 {
        Self::ran(msg.id, true, ctx)
    }

    #[botzilla::handler(broadcast)]
    fn cast(&mut self, msg: Cast, ctx: &Ctx<Self>) {
        Self::ran(msg.id, true, ctx);
    }

    #[botzilla::handler]
    fn begin(&mut self, msg: Begin, ctx: &Ctx<Self>) {
        let is_first = !std::mem::replace(&mut self.listens, true);
        traffic::begin(ctx, &msg.plan, is_first);
    }

    #[botzilla::handler]
    fn who(&mut self, _: Who) -> u32 {
        std::process::id()
    }
}
