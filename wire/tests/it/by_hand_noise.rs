//! Noise mode once more, from PROTOCOL.md and the Noise specification alone: what a client in another
//! language would do. Only the primitives are shared with snow.

use botzilla_wire::handshake::Cipher;
use curve25519_dalek::montgomery::MontgomeryPoint;
use hkdf::Hkdf;
use ring::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use sha2::Sha256;

use crate::by_hand::{hkdf, message, sha256};

pub(crate) fn public(private: &[u8; 32]) -> [u8; 32] {
    MontgomeryPoint::mul_base_clamped(*private).to_bytes()
}

fn nonce(cipher: Cipher, n: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&match cipher {
        Cipher::AesGcm => n.to_be_bytes(),
        _ => n.to_le_bytes(),
    });
    Nonce::assume_unique_for_key(bytes)
}

/// ENCRYPT(k, n, ad, plain).
pub(crate) fn encrypt(cipher: Cipher, key: &[u8; 32], n: u64, ad: &[u8], plain: &[u8]) -> Vec<u8> {
    let algorithm = match cipher {
        Cipher::AesGcm => &AES_256_GCM,
        _ => &CHACHA20_POLY1305,
    };
    let key = LessSafeKey::new(UnboundKey::new(algorithm, key).unwrap());
    let mut out = plain.to_vec();
    key.seal_in_place_append_tag(nonce(cipher, n), Aad::from(ad), &mut out)
        .unwrap();
    out
}

/// REKEY(k).
pub(crate) fn rekey(cipher: Cipher, key: &[u8; 32]) -> [u8; 32] {
    encrypt(cipher, key, u64::MAX, &[], &[0; 32])[..32]
        .try_into()
        .unwrap()
}

/// A record.
pub(crate) fn record(cipher: Cipher, key: &[u8; 32], n: u64, body: &[u8]) -> Vec<u8> {
    let sealed = encrypt(cipher, key, n, &[], body);
    let mut out = u32::try_from(sealed.len()).unwrap().to_le_bytes().to_vec();
    out.extend(sealed);
    out
}

/// What the specification calls a SymmetricState.
struct Symmetric {
    cipher: Cipher,
    h: [u8; 32],
    ck: [u8; 32],
    k: [u8; 32],
    n: u64,
}

impl Symmetric {
    fn new(cipher: Cipher, prologue: &[u8]) -> Self {
        let name = match cipher {
            Cipher::AesGcm => "Noise_NNpsk0_25519_AESGCM_SHA256",
            _ => "Noise_NNpsk0_25519_ChaChaPoly_SHA256",
        };
        // 32 bytes are taken as they are.
        let h =
            <[u8; 32]>::try_from(name.as_bytes()).unwrap_or_else(|_| sha256(&[name.as_bytes()]));
        let mut new = Self {
            cipher,
            h,
            ck: h,
            k: [0; 32],
            n: 0,
        };
        new.mix_hash(prologue);
        new
    }

    fn hkdf<const N: usize>(&self, input: &[u8]) -> [[u8; 32]; N] {
        let mut out = vec![0; 32 * N];
        Hkdf::<Sha256>::new(Some(&self.ck), input)
            .expand(&[], &mut out)
            .unwrap();
        std::array::from_fn(|i| out[32 * i..32 * (i + 1)].try_into().unwrap())
    }

    fn mix_hash(&mut self, data: &[u8]) {
        self.h = sha256(&[&self.h, data]);
    }

    fn mix_key(&mut self, input: &[u8]) {
        [self.ck, self.k] = self.hkdf(input);
        self.n = 0;
    }

    fn mix_key_and_hash(&mut self, input: &[u8]) {
        let [ck, h, k] = self.hkdf(input);
        (self.ck, self.k, self.n) = (ck, k, 0);
        self.mix_hash(&h);
    }

    /// An ephemeral key, in a pattern with a psk.
    fn ephemeral(&mut self, key: &[u8; 32]) {
        self.mix_hash(key);
        self.mix_key(key);
    }

    fn payload(&mut self) -> Vec<u8> {
        let sealed = encrypt(self.cipher, &self.k, self.n, &self.h, &[]);
        self.mix_hash(&sealed);
        self.n += 1;
        sealed
    }
}

/// All that comes of a handshake.
pub(crate) struct Handshake {
    pub(crate) psk: [u8; 32],
    pub(crate) m3: Vec<u8>,
    pub(crate) m4: Vec<u8>,
    /// The keys of the dialler's records, and of the acceptor's.
    pub(crate) keys: [[u8; 32]; 2],
}

/// What both ends with these private ephemeral keys make of their hellos.
pub(crate) fn handshake(
    cipher: Cipher,
    secret: &[u8; 32],
    hellos: [&[u8]; 2],
    private: [&[u8; 32]; 2],
) -> Handshake {
    let psk = hkdf(&sha256(&hellos), secret, "botzilla 1 noise psk");
    let mut state = Symmetric::new(cipher, &hellos.concat());
    let [dialler, acceptor] = private.map(public);

    // -> psk, e
    state.mix_key_and_hash(&psk);
    state.ephemeral(&dialler);
    let m3 = [&dialler[..], &state.payload()].concat();

    // <- e, ee
    state.ephemeral(&acceptor);
    let shared = MontgomeryPoint(acceptor).mul_clamped(*private[0]);
    state.mix_key(&shared.to_bytes());
    let m4 = [&acceptor[..], &state.payload()].concat();

    Handshake {
        psk,
        m3: message(3, (1, 1), &m3),
        m4: message(4, (1, 1), &m4),
        keys: state.hkdf(&[]),
    }
}
