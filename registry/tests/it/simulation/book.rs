//! Every message that was ever sent, and what became of it: the checker knows both ends.

use std::collections::BTreeMap;

use super::clock::{Micros, SECOND};

/// Nobody stands still for longer. What waits in his socket has its time left when he reads it.
pub(super) const STALL_MAX: Micros = 6 * SECOND;

/// A process: its host, and how often that had begun one before.
pub(super) type ProcessId = (usize, u32);

/// How a message ended for its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It ran to its end.
    Good,
    /// It ended badly.
    Bad { may_have_run: bool },
}

#[derive(Debug)]
pub(super) struct Message {
    pub(super) from: ProcessId,
    pub(super) target: String,
    pub(super) urgent: bool,
    pub(super) deadline: Micros,
    pub(super) outcome: Option<(Outcome, Micros)>,
    sent: Micros,
    arrived: Option<ProcessId>,
    ran: Option<(ProcessId, Micros)>,
    /// The process that sent it died before it was told.
    is_orphan: bool,
}

/// What was open, and what both ends have counted, on one connection: sent, delivered, refused,
/// failed, open, of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) outbound: [u64; 5],
    pub(super) inbound: [u64; 5],
    pub(super) is_clean: bool,
}

#[derive(Debug, Default)]
pub(super) struct Book {
    messages: Vec<Message>,
    /// The newest message that ran, of a sender at a target's process.
    order: BTreeMap<(ProcessId, String, bool, ProcessId), u64>,
    counted: BTreeMap<Vec<u8>, Counted>,
    /// How often what happened, so that a test can see that anything did.
    pub(super) clean: u64,
    pub(super) cut: u64,
    hash: u64,
    pub(super) prints: bool,
}

impl Book {
    pub(super) fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// What two runs of a seed have in common.
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// Notes what happens.
    pub(super) fn trace(&mut self, at: Micros, what: std::fmt::Arguments<'_>) {
        let line = format!("{at} {what}");
        if self.prints {
            eprintln!("{line}");
        }
        // FNV-1a.
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(super) fn sent(
        &mut self,
        now: Micros,
        from: ProcessId,
        target: &str,
        urgent: bool,
        deadline: Micros,
    ) -> u64 {
        self.messages.push(Message {
            from,
            target: target.to_owned(),
            urgent,
            deadline,
            outcome: None,
            sent: now,
            arrived: None,
            ran: None,
            is_orphan: false,
        });
        self.messages.len() as u64 - 1
    }

    fn get(&mut self, token: u64) -> &mut Message {
        let message = self.messages.get_mut(token as usize);
        message.unwrap_or_else(|| panic!("message {token} was made up on the way"))
    }

    /// It has ended for its sender, who was awake without a break since `awake`.
    pub(super) fn ended(&mut self, now: Micros, awake: Micros, token: u64, outcome: Outcome) {
        self.trace(now, format_args!("{token} ended {outcome:?}"));
        let message = self.get(token);
        assert_eq!(message.outcome, None, "{token} ended again, as {outcome:?}");
        assert!(
            now <= message.deadline.max(awake),
            "{token} outlived its deadline by {} us",
            now - message.deadline
        );
        match outcome {
            Outcome::Good => assert!(message.ran.is_some(), "{token} was answered and never ran"),
            Outcome::Bad {
                may_have_run: false,
            } => assert!(
                message.ran.is_none(),
                "{token} ran, and its sender was told it didn't"
            ),
            Outcome::Bad { .. } => {}
        }
        message.outcome = Some((outcome, now));
    }

    /// It came to where its target is.
    pub(super) fn arrived(
        &mut self,
        now: Micros,
        token: u64,
        at: ProcessId,
        target: &str,
        time_left: Micros,
    ) {
        self.trace(now, format_args!("{token} arrived at {at:?}"));
        let message = self.get(token);
        assert_eq!(message.target, target, "{token} arrived at another target");
        assert_eq!(message.arrived, None, "{token} arrived again, at {at:?}");
        assert!(
            time_left <= message.deadline - message.sent,
            "{token} got more time on the way"
        );
        message.arrived = Some(at);
    }

    /// Its handler begins.
    pub(super) fn runs(&mut self, now: Micros, token: u64, at: ProcessId) {
        self.trace(now, format_args!("{token} runs"));
        let message = self.get(token);
        assert_eq!(message.arrived, Some(at), "{token} runs where it isn't");
        assert_eq!(message.ran, None, "{token} runs again");
        if let Some((outcome, _)) = message.outcome {
            let told = matches!(outcome, Outcome::Bad { may_have_run: true });
            assert!(told, "{token} runs after it had ended as {outcome:?}");
        }
        // The time left travels, the time on the way doesn't count; nobody is silent for longer.
        assert!(
            now <= message.deadline + 5 * SECOND + STALL_MAX,
            "{token} runs {} us after its deadline",
            now - message.deadline
        );
        message.ran = Some((at, now));
        let key = (message.from, message.target.clone(), message.urgent, at);
        if let Some(before) = self.order.insert(key, token) {
            assert!(
                before < token,
                "{token} runs after {before}, which was sent later"
            );
        }
    }

    /// A process is gone, and with it whoever waited.
    pub(super) fn died(&mut self, process: ProcessId) {
        let waiting = self.messages.iter_mut();
        for message in waiting.filter(|it| it.from == process && it.outcome.is_none()) {
            message.is_orphan = true;
        }
    }

    /// One end of a connection has ended.
    pub(super) fn disconnected(&mut self, connection: &[u8], ours: Counted) {
        let Some(theirs) = self.counted.remove(connection) else {
            self.counted.insert(connection.to_vec(), ours);
            return;
        };
        let clean = ours.is_clean && theirs.is_clean;
        for (sender, receiver) in [(ours, theirs), (theirs, ours)] {
            let (sent, received) = (sender.outbound, receiver.inbound);
            for counts in [sent, received] {
                let ends: u64 = counts[1..].iter().sum();
                assert_eq!(counts[0], ends, "a message is missing in {counts:?}");
            }
            if clean && sent[4] == 0 {
                assert_eq!(sent, received, "a clean close, and the counters differ");
                continue;
            }
            // What had not ended for its sender may have arrived or not, ended or not.
            let unknown = sent[4];
            assert!(
                received[0] <= sent[0] && sent[0] - received[0] <= unknown,
                "sent {sent:?}, received {received:?}"
            );
            for ended in 1..4 {
                assert!(
                    sent[ended] <= received[ended] && received[ended] - sent[ended] <= unknown,
                    "sent {sent:?}, received {received:?}"
                );
            }
        }
        *(if clean {
            &mut self.clean
        } else {
            &mut self.cut
        }) += 1;
    }

    /// A connection was closed in peace while this was open on it: then it is known exactly whether it
    /// had arrived.
    pub(super) fn closed_over(&self, token: u64, may_have_run: bool) {
        let arrived = self.messages[token as usize].arrived.is_some();
        assert_eq!(
            may_have_run, arrived,
            "{token}: a clean close doesn't know what arrived"
        );
    }

    /// Whether nothing is open.
    pub(super) fn check_all_ended(&self) {
        for (token, message) in self.messages.iter().enumerate() {
            assert!(
                message.outcome.is_some() || message.is_orphan,
                "{token} has no outcome: {message:?}"
            );
        }
    }
}
