//! Frames about our messages and the peer's: how they ended, credit, cancels, the close.

use std::time::Instant;

use crate::{
    code::{CloseReason, Failure},
    coding::Reader,
    error::SessionError,
    flow::BadCredit,
    frame::{Close, Credit, Done, FailureFrame, Raw, name_of},
    route::Window,
    session::{
        Event, Kind, Phase, Session,
        inbound::{Assembly, Subject},
        outbound::{Outcome, State},
        queue::LongSubject,
    },
};

impl<T> Session<T> {
    pub(super) fn on_failure(
        &mut self,
        now: Instant,
        raw: &Raw<'_>,
        detail: &[u8],
        events: &mut Vec<Event<T>>,
    ) -> Result<(), SessionError> {
        let FailureFrame {
            id,
            code,
            may_have_run,
        } = raw.read()?;
        if detail.len() > FailureFrame::DETAIL_MAX {
            let len = detail.len() as u64;
            return Err(SessionError::PayloadTooLong {
                len,
                max: FailureFrame::DETAIL_MAX,
            });
        }
        self.check_sent(raw, id)?;
        self.timers.last_active = now;
        if let Some(message) = self.outbound.end(id, Outcome::of(may_have_run))
            && let Some(token) = message.token
        {
            let detail = String::from_utf8_lossy(detail).into_owned();
            events.push(Event::Failed {
                token,
                failure: Failure {
                    code,
                    may_have_run,
                    detail,
                },
            });
        }
        Ok(())
    }

    /// Only a message that has left as a whole can end, and once.
    fn check_sent(&mut self, raw: &Raw<'_>, id: u64) -> Result<(), SessionError> {
        match self.outbound.by_id(id) {
            Some((_, message)) if message.state == State::Sent => {}
            _ => {
                return Err(SessionError::UnknownMessage {
                    frame: name_of(raw.kind),
                    id,
                });
            }
        }
        match &self.inbound.assembly {
            Some(Assembly {
                subject: Subject::Reply { id: arriving },
                ..
            }) if *arriving == id => Err(SessionError::UnknownMessage {
                frame: name_of(raw.kind),
                id,
            }),
            _ => Ok(()),
        }
    }

    pub(super) fn on_done(
        &mut self,
        now: Instant,
        raw: &Raw<'_>,
        payload: &[u8],
        events: &mut Vec<Event<T>>,
    ) -> Result<(), SessionError> {
        self.timers.last_active = now;
        let mut payload = Reader::new(payload);
        while let Some((first, count)) =
            Done::range(&mut payload).map_err(|why| raw.malformed(why))?
        {
            // Each id must be open, so a huge range ends at its first that isn't.
            for id in first..first + count {
                self.check_sent(raw, id)?;
                let Some(message) = self.outbound.end(id, Outcome::Delivered) else {
                    continue;
                };
                match message.token {
                    None => {}
                    Some(token) if message.kind == Kind::Tell => {
                        events.push(Event::Delivered { token });
                    }
                    Some(_) => return Err(raw.malformed("an ask that is waited for has no reply")),
                }
            }
        }
        Ok(())
    }

    pub(super) fn on_credit(
        &mut self,
        credit: Credit,
        raw: &Raw<'_>,
        payload: &[u8],
        events: &mut Vec<Event<T>>,
    ) -> Result<(), SessionError> {
        let bad = |bad| SessionError::BadCredit {
            why: match bad {
                BadCredit::Shrinks => "it takes back what was granted",
                BadCredit::BeyondBound => "it grants more than the handshake's bound",
            },
        };
        self.outbound.messages.state(credit.messages).map_err(bad)?;
        self.outbound.bytes.state(credit.bytes).map_err(bad)?;
        if std::mem::take(&mut self.outbound.starved) {
            events.push(Event::Credit { window: None });
        }
        let mut payload = Reader::new(payload);
        while let Some((number, total)) =
            Credit::window(&mut payload).map_err(|why| raw.malformed(why))?
        {
            let Some(window) = self.outbound.routes.windows.get_mut(number as usize) else {
                return Err(SessionError::BadCredit {
                    why: "it is for a window that doesn't exist",
                });
            };
            window.account.state(total).map_err(bad)?;
            if std::mem::take(&mut window.starved) {
                events.push(Event::Credit {
                    window: Some(Window(number)),
                });
            }
        }
        Ok(())
    }

    /// What we ourselves are willing to hold has room again as soon as something ended.
    pub(super) fn report_credit(&mut self, events: &mut Vec<Event<T>>) {
        if self.outbound.starved_here && self.outbound.has_room_here() {
            self.outbound.starved_here = false;
            events.push(Event::Credit { window: None });
        }
    }

    pub(super) fn on_cancel(
        &mut self,
        id: u64,
        events: &mut Vec<Event<T>>,
    ) -> Result<(), SessionError> {
        let next = self.inbound.owed.next();
        let Some(owed) = self.inbound.owed.get_mut(id) else {
            // It has ended; what says so is on its way.
            let known = (1..next).contains(&id);
            let error = SessionError::UnknownMessage {
                frame: "cancel",
                id,
            };
            return if known { Ok(()) } else { Err(error) };
        };
        if owed.partial {
            return Err(SessionError::LongFrame {
                why: "a long frame was cancelled, not aborted",
            });
        }
        if std::mem::replace(&mut owed.cancelled, true) {
            return Ok(());
        }
        if !owed.ended {
            events.push(Event::Cancelled { id });
            return Ok(());
        }
        // Its reply waits. One that is on its way is aborted; any other is dropped when its turn
        // comes.
        if let Some(long) = &self.queues.long
            && let LongSubject::Reply(arriving, len) = long.subject
            && arriving == id
        {
            self.queues.reply_bytes -= len as u64;
            if long.started {
                self.queues.abort = true;
                self.inbound.release(id);
            } else {
                self.inbound.mark_done(id);
            }
            self.next_long();
        }
        Ok(())
    }

    pub(super) fn on_close(&mut self, close: Close, detail: &[u8], events: &mut Vec<Event<T>>) {
        self.peer_received = Some(close.received);
        self.inbound.assembly = None;
        if let Phase::Open | Phase::Closing { .. } = self.phase {
            // What hasn't left stays here and certainly doesn't run.
            self.queues.keep_only_ends();
            if self.queues.long.is_none() {
                self.next_long();
            }
            self.outbound.cancels.clear();
            if matches!(self.phase, Phase::Open) {
                self.phase = Phase::Closing {
                    reason: CloseReason::Answer,
                    detail: String::new(),
                };
            }
        }
        let detail = String::from_utf8_lossy(&detail[..detail.len().min(FailureFrame::DETAIL_MAX)])
            .into_owned();
        events.push(Event::Closed {
            reason: close.reason,
            detail,
        });
    }
}
