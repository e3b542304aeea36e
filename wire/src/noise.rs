//! Noise_NNpsk0: the two messages of the handshake's mode 2, and what its records are sealed with.
//!
//! The only place that names `snow`. It draws the ephemeral keys itself, from the system: the one
//! thing in this crate that isn't given from outside, and nothing but those keys comes of it.

use std::fmt;

use snow::{Builder, HandshakeState, TransportState};

/// What a Noise message has besides its payload, once there is a key.
pub(crate) const NOISE_TAG: usize = 16;

/// The longest Noise message.
pub(crate) const NOISE_MAX: usize = 65_535;

/// The length of an ephemeral key on the wire.
const KEY_LEN: usize = 32;

/// The length of a handshake message without a payload.
pub(crate) const MESSAGE_LEN: usize = KEY_LEN + NOISE_TAG;

/// After so many records of a direction its key is replaced.
pub(crate) const REKEY_AFTER: u64 = 1 << 20;

/// What records are encrypted with in noise mode, as numbered in the hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Cipher {
    /// AES-256 in Galois/counter mode. Offered only where the processor does it in hardware: in
    /// software it is slow, and its time may tell of the key.
    AesGcm = 1,
    /// ChaCha20-Poly1305, which is fast and even everywhere.
    ChaChaPoly = 2,
}

impl Cipher {
    /// Those that this processor is good at, by preference.
    pub fn of_this_processor() -> Vec<Self> {
        if aes_in_hardware() {
            vec![Self::AesGcm, Self::ChaChaPoly]
        } else {
            vec![Self::ChaChaPoly]
        }
    }

    /// Its number on the wire.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The cipher of a number, if it is known here.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::AesGcm),
            2 => Some(Self::ChaChaPoly),
            _ => None,
        }
    }

    fn protocol(self) -> &'static str {
        match self {
            Self::AesGcm => "Noise_NNpsk0_25519_AESGCM_SHA256",
            Self::ChaChaPoly => "Noise_NNpsk0_25519_ChaChaPoly_SHA256",
        }
    }
}

/// AES and the multiplication of its authenticator, as ring looks for them too.
fn aes_in_hardware() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    {
        std::is_x86_feature_detected!("aes") && std::is_x86_feature_detected!("pclmulqdq")
    }
    #[cfg(target_arch = "aarch64")]
    {
        std::arch::is_aarch64_feature_detected!("aes")
            && std::arch::is_aarch64_feature_detected!("pmull")
    }
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    {
        false
    }
}

/// Something that snow didn't do: a message that isn't what the other side with the same key would
/// have written, or no random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failed;

/// The handshake's two messages.
pub(crate) struct NoiseHandshake(Box<HandshakeState>);

impl NoiseHandshake {
    /// `prologue` is what both sides have to have seen the same of. `ephemeral` is for vectors alone.
    pub(crate) fn new(
        is_dialler: bool,
        cipher: Cipher,
        psk: &[u8; 32],
        prologue: &[u8],
        ephemeral: Option<&[u8; 32]>,
    ) -> Self {
        let build = || {
            let builder = Builder::new(cipher.protocol().parse()?)
                .psk(0, psk)?
                .prologue(prologue)?;
            let builder = match ephemeral {
                Some(key) => builder.fixed_ephemeral_key_for_testing_only(key),
                None => builder,
            };
            if is_dialler {
                builder.build_initiator()
            } else {
                builder.build_responder()
            }
        };
        let state: Result<_, snow::Error> = build();
        Self(Box::new(state.expect(
            "snow has these ciphers, and NNpsk0 takes one key in place 0",
        )))
    }

    /// The next message, with nothing in it.
    pub(crate) fn write(&mut self) -> Result<[u8; MESSAGE_LEN], Failed> {
        let mut message = [0; MESSAGE_LEN];
        match self.0.write_message(&[], &mut message) {
            Ok(MESSAGE_LEN) => Ok(message),
            _ => Err(Failed),
        }
    }

    /// What is in the other side's message.
    pub(crate) fn read(&mut self, message: &[u8]) -> Result<Vec<u8>, Failed> {
        let mut payload = vec![0; message.len()];
        let len = self
            .0
            .read_message(message, &mut payload)
            .map_err(|_| Failed)?;
        payload.truncate(len);
        Ok(payload)
    }

    /// What comes of both messages.
    pub(crate) fn finish(self, rekey_after: u64) -> NoiseKeys {
        let transport = self
            .0
            .into_transport_mode()
            .expect("it is asked for after both messages");
        NoiseKeys {
            transport: Box::new(transport),
            rekey_after: rekey_after.max(1),
        }
    }
}

impl fmt::Debug for NoiseHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NoiseHandshake(***)")
    }
}

/// The keys of one connection's records in noise mode, both directions, with what counts them.
pub struct NoiseKeys {
    transport: Box<TransportState>,
    rekey_after: u64,
}

impl NoiseKeys {
    /// Encrypts the next record of ours; `out` has [`NOISE_TAG`] bytes more than `plain`.
    pub(crate) fn seal(&mut self, plain: &[u8], out: &mut [u8]) {
        let sealed = self.transport.write_message(plain, out);
        assert!(
            sealed.is_ok_and(|len| len == out.len()),
            "a record's body fits a noise message, and nobody sends 2^64 records"
        );
        if self
            .transport
            .sending_nonce()
            .is_multiple_of(self.rekey_after)
        {
            self.transport.rekey_outgoing();
        }
    }

    #[cfg(test)]
    pub(crate) fn set_rekey_after(&mut self, records: u64) {
        self.rekey_after = records;
    }

    /// Decrypts the peer's next record into `out`, which is at least as long; how much it was.
    pub(crate) fn open(&mut self, sealed: &[u8], out: &mut [u8]) -> Result<usize, Failed> {
        let len = self
            .transport
            .read_message(sealed, out)
            .map_err(|_| Failed)?;
        let opened = self.transport.receiving_nonce();
        if opened.is_multiple_of(self.rekey_after) {
            self.transport.rekey_incoming();
        }
        Ok(len)
    }
}

impl fmt::Debug for NoiseKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NoiseKeys(***)")
    }
}
