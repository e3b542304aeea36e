//! What the switch needs to know of a packet: where it goes, and how to damage it.

use std::net::Ipv4Addr;

const TCP: u8 = 6;

pub(crate) fn target(packet: &[u8]) -> Option<Ipv4Addr> {
    let is_v4 = packet.len() >= 20 && packet[0] >> 4 == 4;
    is_v4.then(|| Ipv4Addr::new(packet[16], packet[17], packet[18], packet[19]))
}

/// Where the data of a TCP segment begins; none if it has none.
fn data(packet: &[u8]) -> Option<usize> {
    let ip = usize::from(packet.first()? & 0x0f) * 4;
    if *packet.get(9)? != TCP {
        return None;
    }
    let tcp = usize::from(packet.get(ip + 12)? >> 4) * 4;
    (ip + tcp < packet.len()).then_some(ip + tcp)
}

/// Flips a bit of what is behind the IP header; the checksum shows it.
pub(crate) fn corrupt(packet: &mut [u8], random: u64) {
    let ip = usize::from(packet[0] & 0x0f) * 4;
    let bits = packet.len().saturating_sub(ip) * 8;
    if bits > 0 {
        let bit = (random % bits as u64) as usize;
        packet[ip + bit / 8] ^= 1 << (bit % 8);
    }
}

/// Flips a bit of a TCP segment's data and makes its checksum right again, as a broken switch does, or
/// somebody who means harm. Whether there was any data.
pub(crate) fn forge(packet: &mut [u8], random: u64) -> bool {
    let Some(begin) = data(packet) else {
        return false;
    };
    let bits = (packet.len() - begin) * 8;
    let bit = (random % bits as u64) as usize;
    packet[begin + bit / 8] ^= 1 << (bit % 8);
    let ip = usize::from(packet[0] & 0x0f) * 4;
    let at = ip + 16;
    packet[at..at + 2].fill(0);
    let sum = checksum(packet, ip);
    packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    true
}

/// Of a TCP segment with its pseudo header.
pub(crate) fn checksum(packet: &[u8], ip: usize) -> u16 {
    let segment = &packet[ip..];
    let words = |bytes: &[u8]| {
        let word = |pair: &[u8]| {
            u32::from(u16::from_be_bytes([
                pair[0],
                pair.get(1).copied().unwrap_or_default(),
            ]))
        };
        bytes.chunks(2).map(word).sum::<u32>()
    };
    let length = u32::try_from(segment.len()).expect("a packet is short");
    let mut sum = words(&packet[12..20]) + u32::from(TCP) + length + words(segment);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("it was folded")
}
