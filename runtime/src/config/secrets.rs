//! Where a node's secrets come from, and reading them, at the start and again.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use botzilla_wire::Keyring;
use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess, Visitor},
};
use zeroize::Zeroizing;

use super::{private::PrivateFile, settings::Settings};
use crate::ConfigError;

const FILE: &str = "the secret's file";

/// Secrets as they are written, in a setting: one, or a list of several. Prints as `***`, and is wiped
/// when it is dropped.
///
/// ```
/// let secrets = botzilla::SecretTexts::from("a passphrase of at least 16 bytes");
/// assert_eq!(format!("{secrets:?}"), "***");
/// ```
#[derive(Clone, Default)]
pub struct SecretTexts {
    texts: Vec<Zeroizing<String>>,
    /// The configuration file that they are in.
    written_in: Option<PathBuf>,
}

impl SecretTexts {
    /// Several in one text, separated by commas, as in `BOTZILLA_SECRET`. A passphrase with a comma in
    /// it goes into a file.
    pub(super) fn separated(text: &str) -> Self {
        let each = text.split(',').map(str::trim);
        let meant = each.filter(|one| !one.is_empty());
        meant.map(|one| Zeroizing::new(one.to_owned())).collect()
    }

    pub(super) fn are_in(&mut self, file: &Path) {
        self.written_in = Some(file.to_owned());
    }

    pub(super) fn source(&self) -> SecretSource {
        let file = self.written_in.clone();
        file.map_or(SecretSource::Given, SecretSource::Config)
    }

    pub(super) fn keyring(&self, setting: &str) -> Result<Keyring, ConfigError> {
        let texts: Vec<&str> = self.texts.iter().map(|text| text.as_str()).collect();
        Keyring::parse_each(&texts).map_err(|error| ConfigError::new(setting, error))
    }
}

impl FromIterator<Zeroizing<String>> for SecretTexts {
    fn from_iter<I: IntoIterator<Item = Zeroizing<String>>>(texts: I) -> Self {
        Self {
            texts: texts.into_iter().collect(),
            written_in: None,
        }
    }
}

impl From<String> for SecretTexts {
    fn from(text: String) -> Self {
        Self::from_iter([Zeroizing::new(text)])
    }
}

impl From<&str> for SecretTexts {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl fmt::Debug for SecretTexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for SecretTexts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;

        impl<'de> Visitor<'de> for OneOrMore {
            type Value = SecretTexts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a secret in quotes, or a list of such")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<SecretTexts, E> {
                Ok(text.into())
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<SecretTexts, E> {
                Ok(text.into())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut each: A) -> Result<SecretTexts, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = each.next_element::<String>()? {
                    texts.push(Zeroizing::new(text));
                }
                Ok(SecretTexts::from_iter(texts))
            }
        }

        deserializer.deserialize_any(OneOrMore)
    }
}

/// Where the secrets are that a node holds: so that they can be read again.
#[derive(Clone, Debug)]
pub(crate) enum SecretSource {
    /// A file of secrets.
    File(PathBuf),
    /// `secret` in a configuration file.
    Config(PathBuf),
    /// Code or the environment, which don't change.
    Given,
}

impl SecretSource {
    /// The file, if there is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) | Self::Config(path) => Some(path),
            Self::Given => None,
        }
    }

    /// Reads the file, which may take as long as a passphrase does.
    ///
    /// # Errors
    ///
    /// It can't be read, others may read it, or what is in it are no secrets.
    pub(crate) fn read(&self) -> Result<Option<Keyring>, ConfigError> {
        match self {
            Self::File(path) => read_file(path).map(Some),
            Self::Config(path) => Settings::from_file(path)?.secret_in(path).map(Some),
            Self::Given => Ok(None),
        }
    }
}

/// Reads a file of secrets, one a line, as `secret_file` names it: `#` begins a comment, and the first
/// secret is the preferred one.
///
/// # Errors
///
/// It can't be read, other users of the machine may read or change it, or what is in it are no secrets.
/// The error says which, with the remedy, and never shows a secret.
pub fn read_secret_file(path: impl AsRef<Path>) -> Result<Keyring, ConfigError> {
    read_file(path.as_ref())
}

pub(super) fn read_file(path: &Path) -> Result<Keyring, ConfigError> {
    let file = PrivateFile::read(FILE, path)?;
    file.check(FILE, path)?;
    Keyring::parse(&file.text)
        .map_err(|error| ConfigError::new(format!("{FILE} {}", path.display()), error))
}
