//! How connections are protected, as a person writes it.

use std::{fmt, str::FromStr};

use botzilla_wire::handshake::Mode;
use serde::Deserialize;

/// How a node's connections are protected: written `security = "hmac"` or `"noise"`.
///
/// Without it a node takes what the other side requires, and offers both: connections are
/// authenticated, and encrypted too where one side or the registry requires it.
///
/// ```
/// use botzilla::{NodeConfig, Security};
///
/// let config = NodeConfig::new("127.0.0.1:6985", "a passphrase of at least 16 bytes")?
///     .security(Security::Encrypted);
/// # Ok::<(), botzilla::ConfigError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[non_exhaustive]
pub enum Security {
    /// What is sent can't be altered or replayed, and can be read: every record has an HMAC-SHA256.
    /// A network that requires encryption refuses such a node.
    #[serde(rename = "hmac")]
    Authenticated,
    /// Besides, nobody else can read it, and a secret that leaks later opens no recording of it
    /// (Noise_NNpsk0). The node refuses whoever doesn't take that.
    #[serde(rename = "noise")]
    Encrypted,
}

impl Security {
    /// What a node with this setting offers and accepts, by preference.
    pub(crate) fn modes(setting: Option<Self>) -> Vec<Mode> {
        match setting {
            None => vec![Mode::Mac, Mode::Noise],
            Some(Self::Authenticated) => vec![Mode::Mac],
            Some(Self::Encrypted) => vec![Mode::Noise],
        }
    }
}

impl fmt::Display for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authenticated => "hmac",
            Self::Encrypted => "noise",
        })
    }
}

impl FromStr for Security {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "hmac" => Ok(Self::Authenticated),
            "noise" => Ok(Self::Encrypted),
            other => Err(format!(
                "{other:?} is no way to protect connections; write \"noise\" (encrypted) or \"hmac\" (authenticated)"
            )),
        }
    }
}
