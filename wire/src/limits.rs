//! Every maximum and time-out, in one place.

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// What a node takes from others, and how long it waits for them.
///
/// Start from [`Limits::default`] and change what you need. What the other side may send is stated
/// to it in the handshake (payload, messages and bytes); the rest is enforced here alone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest payload of a message or a reply that is taken, in bytes. Default: 16 MiB.
    pub payload: usize,
    /// Messages that one peer may have open at one target. Default: 256.
    pub messages_per_target: u32,
    /// Urgent messages that one peer may have open at one target. Default: 16.
    pub urgent_per_target: u32,
    /// Messages that one peer may have open over all targets, known or not. Default: 4096.
    pub messages_per_connection: u32,
    /// Bytes of open messages of one peer over all targets. Default: 32 MiB.
    pub bytes_per_connection: u64,
    /// Bytes of replies that may wait for one peer; beyond it a reply becomes `Overloaded`.
    /// Default: 64 MiB.
    pub reply_bytes: u64,
    /// Route numbers that one peer may have in use. Default: 8192.
    pub routes: u32,
    /// The longest record of a control connection, in bytes. Default: 64 KiB.
    pub control_record: usize,
    /// The longest detail text of a failure, in bytes. Default: 16 KiB.
    pub detail: usize,
    /// The largest item of a stream that is taken, in bytes. Default: 64 MiB.
    pub stream_payload: usize,
    /// Subscriptions that one peer may have here. Default: 1024.
    pub subscriptions: u32,
    /// The most items that may wait for one subscriber, whatever depth it asks for. Default: 4096.
    pub stream_depth: u32,
    /// Bytes of items that may wait for one subscriber; one item always may. Default: 128 MiB.
    pub stream_queue: usize,
    /// The same for all subscribers of one peer together; one item of each always may. Default:
    /// 256 MiB.
    pub stream_queues: usize,
    /// What of a panic's text goes to the caller, in bytes. Default: 1 KiB.
    pub panic_text: usize,
    /// How deep a payload may nest. Default: 64.
    pub nesting: usize,
    /// Memory that the elements of one payload's sequences and maps may take once decoded, in
    /// bytes (an element may be one byte on the wire and hundreds in memory). Default: 64 MiB.
    pub decoded: usize,
    /// What a handshake may take in each direction, in bytes. Default: 1 KiB.
    pub handshake_bytes: usize,
    /// How long a handshake may take in all. Default: 5 s.
    pub handshake_time: Duration,
    /// A ping goes out after this long without sending. Default: 1 s.
    pub ping_every: Duration,
    /// A peer that sent no byte for this long is dead. Default: 3 s.
    pub dead_after: Duration,
    /// Connections whose handshake is not done yet; a newcomer pushes out the oldest. Default: 64.
    pub unproven: usize,
    /// The same, from one address. Default: 8.
    pub unproven_per_address: usize,
    /// Names of waiting components that a nested ask may carry. Default: 16.
    pub path: usize,
    /// A connection with nothing open ends after this long. Default: 60 s.
    pub idle_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload: 16 * MIB,
            messages_per_target: 256,
            urgent_per_target: 16,
            messages_per_connection: 4096,
            bytes_per_connection: 32 * MIB as u64,
            reply_bytes: 64 * MIB as u64,
            routes: 8192,
            control_record: 64 * KIB,
            detail: 16 * KIB,
            stream_payload: 64 * MIB,
            subscriptions: 1024,
            stream_depth: 4096,
            stream_queue: 128 * MIB,
            stream_queues: 256 * MIB,
            panic_text: KIB,
            nesting: 64,
            decoded: 64 * MIB,
            handshake_bytes: KIB,
            handshake_time: Duration::from_secs(5),
            ping_every: Duration::from_secs(1),
            dead_after: Duration::from_secs(3),
            unproven: 64,
            unproven_per_address: 8,
            path: 16,
            idle_after: Duration::from_secs(60),
        }
    }
}
