//! From a dial to a connection, and which of two is kept.

use std::collections::BTreeMap;

use botzilla_registry::table::Link;
use botzilla_wire::{
    handshake::{Acceptor, Dialler, Established, Proven, RefusalCode},
    ident::NodeId,
    session::Session,
};
use bytes::BytesMut;

use super::{CONNECT_TIME, Conn, Env, Process, State, Up};
use crate::simulation::{
    clock::{MS, SECOND},
    net::{Arrival, Piece, PipeId},
};

impl Process {
    pub(super) fn dial(&mut self, env: &mut Env<'_>, host: usize, expect: Option<NodeId>) {
        let is_dialling = self.conns.values().any(|conn| match &conn.state {
            State::Dialling { to, .. } | State::Proving { to, .. } => *to == host,
            _ => false,
        });
        if is_dialling || env.now() < self.dial_after[host] {
            return;
        }
        let pipe = env.net.dial(env.clock.now, self.id.0, self.id.1, host);
        env.book.trace(
            env.clock.now,
            format_args!("{:?} dials {host}: {pipe}", self.id),
        );
        let until = env.now() + CONNECT_TIME;
        self.conns.insert(
            pipe,
            Conn {
                end: 0,
                input: BytesMut::new(),
                tainted: false,
                state: State::Dialling {
                    to: host,
                    expect,
                    until,
                },
            },
        );
    }

    pub(super) fn dial_failed(&mut self, env: &mut Env<'_>, pipe: PipeId) {
        let Some(conn) = self.conns.remove(&pipe) else {
            return;
        };
        env.net.close(env.clock.now, pipe, conn.end);
        if let State::Dialling { to, .. } | State::Proving { to, .. } = conn.state {
            let pause = ((50 * MS) << self.failures[to].min(5)).min(SECOND);
            self.failures[to] += 1;
            self.dial_after[to] = env.now() + self.rng.within(pause / 2..pause);
        }
    }

    pub(in crate::simulation) fn arrival(
        &mut self,
        env: &mut Env<'_>,
        pipe: PipeId,
        arrival: Arrival,
    ) {
        match arrival {
            Arrival::Knock => {
                let mut acceptor = Acceptor::new(&self.local, self.rng.bytes(), env.instant());
                acceptor.fix_ephemeral_key_for_testing_only(self.rng.bytes());
                self.conns.insert(
                    pipe,
                    Conn {
                        end: 1,
                        input: BytesMut::new(),
                        tainted: false,
                        state: State::Accepting(Box::new(acceptor)),
                    },
                );
            }
            Arrival::Opened(false) => self.dial_failed(env, pipe),
            Arrival::Opened(true) => self.opened(env, pipe),
            Arrival::Piece { piece, tampered } => match piece {
                Piece::Bytes(bytes) => self.bytes(env, pipe, &bytes, tampered),
                Piece::Fin | Piece::Reset => self.lost(env, pipe),
            },
        }
        self.pump(env);
    }

    pub(super) fn opened(&mut self, env: &mut Env<'_>, pipe: PipeId) {
        let Some(conn) = self.conns.get_mut(&pipe) else {
            return;
        };
        let State::Dialling { to, expect, .. } = conn.state else {
            return;
        };
        let replaces = expect
            .and_then(|peer| self.last.get(&peer))
            .map(|(id, _)| *id);
        let nonce = self.rng.bytes();
        let mut dialler = Dialler::new(&self.local, expect, replaces, nonce, env.instant());
        dialler.fix_ephemeral_key_for_testing_only(self.rng.bytes());
        conn.state = State::Proving {
            to,
            expect,
            dialler: Box::new(dialler),
            said: 0,
        };
        self.transmit(env, pipe);
    }

    /// The other end is gone.
    pub(super) fn lost(&mut self, env: &mut Env<'_>, pipe: PipeId) {
        match self.conns.get(&pipe).map(|conn| &conn.state) {
            Some(State::Up(_)) => self.end(env, pipe, "the other end is gone"),
            Some(State::Accepting(_)) => {
                self.conns.remove(&pipe);
                env.net.close(env.clock.now, pipe, 1);
            }
            Some(_) => self.dial_failed(env, pipe),
            None => {}
        }
    }

    pub(super) fn bytes(&mut self, env: &mut Env<'_>, pipe: PipeId, bytes: &[u8], tampered: bool) {
        let now = env.instant();
        let Some(conn) = self.conns.get_mut(&pipe) else {
            return;
        };
        conn.input.extend_from_slice(bytes);
        let was_tainted = conn.tainted;
        conn.tainted |= tampered;
        let mut established = None;
        match &mut conn.state {
            State::Dialling { .. } => {}
            State::Proving { dialler, .. } => match dialler.receive(now, &mut conn.input) {
                Ok(done) => established = done,
                Err(_) => return self.dial_failed(env, pipe),
            },
            State::Accepting(acceptor) => match acceptor.receive(now, &mut conn.input) {
                Ok(None) => {}
                Ok(Some(proven)) => match self.decide(&proven) {
                    Ok(()) => {
                        let conn = self.conns.get_mut(&pipe).expect("it is there");
                        if let State::Accepting(acceptor) = &mut conn.state {
                            established = Some(acceptor.accept());
                        }
                    }
                    Err(code) => {
                        let conn = self.conns.get_mut(&pipe).expect("it is there");
                        if let State::Accepting(acceptor) = &mut conn.state {
                            acceptor.refuse(code);
                        }
                        self.transmit(env, pipe);
                        return self.lost(env, pipe);
                    }
                },
                Err(_) => {
                    self.transmit(env, pipe);
                    return self.lost(env, pipe);
                }
            },
            State::Up(_) => {}
        }
        self.transmit(env, pipe);
        if let Some(established) = established {
            assert!(!was_tainted, "a handshake was changed, and came to its end");
            self.install(env, pipe, established);
        }
        self.receive(env, pipe, was_tainted);
    }

    /// Sends what a handshake has to say.
    pub(super) fn transmit(&mut self, env: &mut Env<'_>, pipe: PipeId) {
        let Some(conn) = self.conns.get_mut(&pipe) else {
            return;
        };
        loop {
            let bytes = match &mut conn.state {
                State::Proving { dialler, said, .. } => {
                    dialler.poll_transmit().inspect(|_| *said += 1)
                }
                State::Accepting(acceptor) => acceptor.poll_transmit(),
                _ => None,
            };
            let Some(bytes) = bytes else { return };
            env.net.send(env.clock.now, pipe, conn.end, bytes.to_vec());
        }
    }

    /// Whether one that has proven itself gets its connection.
    pub(super) fn decide(&self, proven: &Proven) -> Result<(), RefusalCode> {
        if let Some(pipe) = self.current.get(&proven.peer)
            && let Some(Conn {
                state: State::Up(up),
                ..
            }) = self.conns.get(pipe)
        {
            let unaware = up.dialled && proven.replaces != Some(up.connection);
            return if unaware {
                Err(RefusalCode::Crossed)
            } else {
                Ok(())
            };
        }
        let ours = self.conns.values().any(|conn| {
            // Ours counts from when its proof left, the second of what it says.
            matches!(&conn.state, State::Proving { expect, said: 2, .. }
                if *expect == Some(proven.peer))
        });
        if ours && self.node < proven.peer {
            Err(RefusalCode::Crossed)
        } else {
            Ok(())
        }
    }

    pub(super) fn install(&mut self, env: &mut Env<'_>, pipe: PipeId, established: Established) {
        let peer = established.peer;
        if let Some(old) = self.current.get(&peer).copied() {
            self.end(env, old, "another took its place");
        }
        let others: Vec<PipeId> = self
            .conns
            .iter()
            .filter(|(id, conn)| {
                let expected = match &conn.state {
                    State::Dialling { expect, .. } | State::Proving { expect, .. } => *expect,
                    _ => None,
                };
                **id != pipe && expected == Some(peer)
            })
            .map(|(id, _)| *id)
            .collect();
        for other in others {
            if let Some(conn) = self.conns.remove(&other) {
                env.net.close(env.clock.now, other, conn.end);
            }
        }
        let conn = self.conns.get_mut(&pipe).expect("its handshake is done");
        if let State::Proving { to, .. } = conn.state {
            self.found[to] = Some(peer);
            self.failures[to] = 0;
        }
        let (connection, dialled) = (established.connection, established.dialled);
        env.book.trace(
            env.clock.now,
            format_args!("{:?} is connected by {pipe}, dialled: {dialled}", self.id),
        );
        self.last.insert(peer, (connection, env.instant()));
        self.current.insert(peer, pipe);
        conn.state = State::Up(Box::new(Up {
            session: Session::new(established, &self.local.limits, env.instant()),
            peer,
            connection,
            dialled,
            routes: Vec::new(),
            is_open: true,
            closing: None,
            closed_by_peer: false,
            in_peace: false,
            timeout_after: 0,
        }));
    }

    pub(in crate::simulation) fn up(&mut self, pipe: PipeId) -> Option<&mut Up> {
        match &mut self.conns.get_mut(&pipe)?.state {
            State::Up(up) => Some(up),
            _ => None,
        }
    }

    /// What the registry is told of its connections.
    pub(in crate::simulation) fn links(&self) -> BTreeMap<NodeId, Link> {
        let known = self.last.iter().map(|(peer, (_, heard))| {
            let up = self.current.get(peer).and_then(|pipe| self.conns.get(pipe));
            let heard = match up.map(|conn| &conn.state) {
                Some(State::Up(up)) => up.session.last_received(),
                _ => *heard,
            };
            let link = Link {
                connected: up.is_some(),
                last_heard: heard,
                address: None,
            };
            (*peer, link)
        });
        known.collect()
    }
}
