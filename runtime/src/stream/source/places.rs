//! Places at a publisher: who gets one, on what terms, and what was kept for it.

use std::sync::{Arc, atomic::Ordering};

use botzilla_wire::{
    Encoding, EndCode,
    stream::{End, Granted, Mode, Subscribe, SubscriberId},
};
use parking_lot::MutexGuard;

use super::{
    super::{
        WhenFull,
        after::After,
        inbox::{Ended, Inbox, Place},
        item::Body,
        kind::slot,
        port::{Port, RemotePort, To},
        wish::{AS_PUBLISHED, Form, Wish},
    },
    HEARD, Source, State, next_number,
};
use crate::{link::BulkLink, policy::Refusal};

impl Source {
    /// Gives a subscription of this process its place.
    pub(crate) fn attach(self: &Arc<Self>, inbox: &Arc<Inbox>, after: &mut After) {
        let number = next_number();
        if !inbox.begin(number, &self.origin, Place::Here(Arc::clone(self))) {
            return;
        }
        let wish = &inbox.wish;
        let name = self.name().text();
        let terms = self.form(&wish.form).and_then(|encoding| {
            let terms = self.terms(wish, encoding, usize::MAX, after);
            terms.map(|(state, granted)| (state, granted, encoding))
        });
        let (mut state, granted, encoding) = match terms {
            Ok(terms) => terms,
            Err(end) => return inbox.ended(name, number, ended(end), after),
        };
        if !inbox.opened(name, number, &granted) {
            self.be_heard_by(&state);
            return;
        }
        inbox.note_mode(name, &granted, after);
        let to = To::Here(Arc::clone(inbox), Arc::clone(name));
        let port = Port::new(number, to, encoding, &granted, wish, self.origin.node);
        add(&mut state, port, &granted, after);
    }

    /// Gives a subscription of another node its place.
    pub(crate) fn attach_remote(
        self: &Arc<Self>,
        link: &Arc<BulkLink>,
        id: SubscriberId,
        request: &Subscribe,
        queue_max: usize,
        after: &mut After,
    ) -> Result<(Granted, Arc<RemotePort>), End> {
        let encoding = self.kind.encoding(request.encoding);
        let ours = self.kind.layout.as_ref().map(|it| it.fingerprint().0);
        if encoding == Encoding::Bincode
            && request.fingerprint.is_some()
            && request.fingerprint != ours
        {
            return Err(self.kind.wrong_schema());
        }
        let wish = Wish {
            subscriber: request.subscriber.clone(),
            mode: Some(request.mode),
            depth: request.depth,
            interval: request.interval,
            keep_last: request.keep_last,
            ..Wish::new(Form::Raw)
        };
        if let Some((incarnation, next)) = request.resumes
            && incarnation == self.incarnation
            && let Some(resumed) = self.resume(link, id, &wish, encoding, next)
        {
            return Ok(resumed);
        }
        let encoding = Some(encoding);
        let (mut state, granted) = self.terms(&wish, encoding, link.payload_max(), after)?;
        let number = next_number();
        let remote = RemotePort::new(link, id, number, Arc::clone(self), &granted, queue_max);
        let to = To::There(Arc::clone(&remote));
        let port = Port::new(number, to, encoding, &granted, &wish, link.peer());
        add(&mut state, port, &granted, after);
        Ok((granted, remote))
    }

    /// Gives a subscription that has come over from another connection the place that was kept for it.
    fn resume(
        &self,
        link: &Arc<BulkLink>,
        id: SubscriberId,
        wish: &Wish,
        encoding: Encoding,
        next: u64,
    ) -> Option<(Granted, Arc<RemotePort>)> {
        let mut state = self.state.lock();
        let port = state.ports.iter_mut().find(|port| {
            port.waits_for(link.peer(), next)
                && port.component == wish.subscriber
                && port.encoding == Some(encoding)
        })?;
        let remote = port.move_to(link, id, next_number())?;
        let (mode, depth) = (port.mode, port.depth);
        let granted = Granted {
            next,
            mode,
            depth,
            // It has had them.
            keep_last: 0,
            ..self.grant(&state, wish, encoding)
        };
        Some((granted, remote))
    }

    /// What a subscriber gets, with what is kept for it encoded so: to be added before the state is
    /// given back.
    fn terms(
        &self,
        wish: &Wish,
        encoding: Option<Encoding>,
        payload_max: usize,
        after: &mut After,
    ) -> Result<(MutexGuard<'_, State>, Granted), End> {
        let mut state = self.state.lock();
        if let Some(encoding) = encoding {
            let first = state.kept.len() - self.kept_for(&state, wish);
            let lacks = state.kept.range(first..);
            let lacks = lacks.filter(|kept| kept.item.lacks(encoding));
            let lacks: Vec<_> = lacks
                .map(|kept| (kept.seq, Arc::clone(&kept.item.shared)))
                .collect();
            if !lacks.is_empty() {
                // What is published meanwhile is encoded so, too: once round is enough.
                state.joining[slot(encoding)] += 1;
                let length = state.lengths[slot(encoding)];
                drop(state);
                // Not under the lock: it is other people's code.
                let encoded = lacks.into_iter().map(|(seq, shared)| {
                    let form = self.encode(&*shared, encoding, length);
                    after.drop_body(Body::Shared(shared));
                    (seq, form)
                });
                let encoded: Vec<_> = encoded.collect();
                state = self.state.lock();
                state.joining[slot(encoding)] -= 1;
                for (seq, form) in encoded {
                    // It may be kept no longer.
                    let mut kept = state.kept.iter_mut();
                    if let Some(kept) = kept.find(|kept| kept.seq == seq) {
                        kept.item.set(encoding, form);
                    }
                }
            }
        }
        if state.has_ended {
            return Err(End::refused(EndCode::PublisherGone, ""));
        }
        let granted = self.grant(&state, wish, encoding.unwrap_or(Encoding::Bincode));
        // Older ones are told as missed with the next; nothing may follow the newest for long.
        if granted.keep_last > 0
            && let Some(newest) = state.kept.back()
            && let Some(obstacle) = newest.item.obstacle(encoding, payload_max)
        {
            let text = format!("item {}, which was kept: {}", newest.seq, obstacle.text);
            return Err(End::refused(obstacle.code, text));
        }
        Ok((state, granted))
    }

    /// How many items may wait for a subscriber.
    fn depth_for(&self, wish: &Wish) -> u32 {
        let depth = match wish.depth {
            AS_PUBLISHED => self.qos.depth,
            depth => depth,
        };
        depth.clamp(1, self.depth_max)
    }

    /// How many of those that are kept a subscriber gets.
    fn kept_for(&self, state: &State, wish: &Wish) -> usize {
        (wish.keep_last.min(self.depth_for(wish)) as usize).min(state.kept.len())
    }

    /// How items reach a subscription of this process: shared, or encoded so.
    fn form(&self, form: &Form) -> Result<Option<Encoding>, End> {
        match form {
            Form::Typed { type_id, .. } if *type_id == self.kind.type_id => Ok(None),
            // Two types in one process, of one definition or of two that are alike.
            Form::Typed { layout, .. } => match (layout, &self.kind.layout) {
                (Some(theirs), Some(ours)) if theirs.fingerprint() == ours.fingerprint() => {
                    Ok(Some(Encoding::Bincode))
                }
                (Some(_), Some(_)) => Err(self.kind.wrong_schema()),
                _ => Ok(Some(Encoding::Json)),
            },
            Form::Json => Ok(Some(Encoding::Json)),
            Form::Raw => Ok(Some(self.kind.encoding(Encoding::Bincode))),
        }
    }

    fn grant(&self, state: &State, wish: &Wish, encoding: Encoding) -> Granted {
        let mode = match self.qos.mode {
            Mode::Latest => Mode::Latest,
            Mode::Reliable => wish.mode(),
        };
        let keep_last = self.kept_for(state, wish);
        // From here on no item passes by unheard.
        let next = self.count.fetch_or(HEARD, Ordering::AcqRel) & !HEARD;
        let first = state.kept.len() - keep_last;
        Granted {
            incarnation: self.incarnation,
            next: state.kept.get(first).map_or(next, |kept| kept.seq),
            encoding,
            fingerprint: self.kind.layout.as_ref().map(|it| it.fingerprint().0),
            mode,
            cuts_off: mode == Mode::Reliable && self.qos.when_full != WhenFull::Wait,
            depth: self.depth_for(wish),
            keep_last: u32::try_from(keep_last).unwrap_or(u32::MAX),
            interval: wish.interval,
        }
    }

    /// A subscriber no longer wants it, or can't be reached.
    pub(crate) fn detach(self: &Arc<Self>, number: u64, after: &mut After) {
        let mut state = self.state.lock();
        let port = self.take_port(&mut state, number, after);
        drop(state);
        if let Some(port) = port {
            port.discard(after);
        }
    }

    /// The places of other nodes, and the connections that they are on.
    pub(crate) fn elsewhere(&self) -> Vec<(u64, Arc<BulkLink>)> {
        let state = self.state.lock();
        let ports = state.ports.iter();
        ports
            .filter_map(|port| Some((port.number, Arc::clone(port.link()?))))
            .collect()
    }

    /// Ends a place that may not be had any more.
    pub(crate) fn deny(self: &Arc<Self>, number: u64, refusal: Refusal, after: &mut After) {
        let mut state = self.state.lock();
        if let Some(port) = self.take_port(&mut state, number, after) {
            self.end_port(port, EndCode::Denied, refusal.into(), false, after);
        }
    }

    pub(super) fn take_port(
        self: &Arc<Self>,
        state: &mut State,
        number: u64,
        after: &mut After,
    ) -> Option<Port> {
        let at = state.ports.iter().position(|it| it.number == number)?;
        let port = state.ports.swap_remove(at);
        self.be_heard_by(state);
        // Whoever waits for it waits no longer.
        after.rooms.push(Arc::clone(self));
        Some(port)
    }

    /// With nobody left to hear, items are only counted.
    fn be_heard_by(&self, state: &State) {
        if state.ports.is_empty() && self.qos.keep_last == 0 && !state.has_ended {
            self.count.fetch_and(!HEARD, Ordering::AcqRel);
        }
    }
}

/// Gives it its place, and what is kept for it.
fn add(state: &mut State, mut port: Port, granted: &Granted, after: &mut After) {
    let first = state.kept.len() - granted.keep_last as usize;
    for kept in state.kept.range(first..) {
        if port.obstacle(&kept.item).is_none() {
            port.push(kept.seq, kept.published, &kept.item, after);
        }
    }
    state.ports.push(port);
}

fn ended(end: End) -> Ended {
    Ended {
        code: end.code,
        missed: 0,
        thinned: 0,
        detail: end.detail,
    }
}
