//! Several secrets at once: what a node holds while its robot is given a new one.
//!
//! As text, one secret a line; blank lines and lines that begin with `#` mean nothing. The first is
//! what the node prefers when it dials; it accepts all of them.

use std::fmt;

use thiserror::Error;

use crate::secret::{PASSPHRASE_ID, Secret, SecretError};

/// How many secrets a node may hold: as many as a hello can name.
pub const KEYS_MAX: usize = 16;

/// Secrets, the preferred one first. No two have the same id.
#[derive(Clone, Default)]
pub struct Keyring(Vec<Secret>);

/// Why texts are no keyring. Never shows one of them.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// There is no secret at all.
    #[error("{}", SecretError::Empty)]
    Empty,
    /// One of them is none.
    #[error("{}{error}", At(*.line))]
    Secret {
        /// Its line, from 1; none if it isn't one of several.
        line: Option<usize>,
        /// Why.
        error: SecretError,
    },
    /// Two have the same id.
    #[error(
        "{}the key id `{id}` is that of another secret before it; ids tell secrets apart, so remove one of \
         the two, or make another (`botzilla key new --id ..`)",
        At(*.line)
    )]
    SameId {
        /// The id.
        id: String,
        /// The line of the second, from 1.
        line: Option<usize>,
    },
    /// Two are passphrases, all of which have the same id.
    #[error(
        "{}a node can't hold two passphrases: they have the same key id, `{PASSPHRASE_ID}`; to replace a \
         passphrase without a gap, go on to a secret of `botzilla key new`, which has an id of its own",
        At(*.line)
    )]
    TwoPassphrases {
        /// The line of the second, from 1.
        line: Option<usize>,
    },
    /// There are more than [`KEYS_MAX`].
    #[error(
        "there are {count} secrets, and a node holds at most {KEYS_MAX}; remove those that nobody uses"
    )]
    TooMany {
        /// How many.
        count: usize,
    },
}

struct At(Option<usize>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(line) => write!(f, "line {line}: "),
            None => Ok(()),
        }
    }
}

/// The lines of a text that are meant to be secrets, with their numbers from 1.
pub fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().map(str::trim).enumerate();
    let meant = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    meant.map(|(index, line)| (index + 1, line))
}

impl Keyring {
    /// Reads a text with one secret a line. A passphrase costs 19 MiB and some tens of milliseconds.
    ///
    /// ```
    /// use botzilla_wire::Keyring;
    ///
    /// let keyring = Keyring::parse(
    ///     "# the new one, and what those use who don't have it yet\n\
    ///      bz1:new:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\
    ///      bz1:old:HxAeDx0OHA0bDBoLGQoYCRcIFgcVBhQFEwQSAxECEAE=\n",
    /// )?;
    /// assert_eq!(keyring.ids().collect::<Vec<_>>(), ["new", "old"]);
    /// # Ok::<(), botzilla_wire::keyring::KeyringError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// With the line, but never its text: it has no secret, or one that can't be used.
    pub fn parse(text: &str) -> Result<Self, KeyringError> {
        let found: Vec<_> = lines(text).collect();
        let is_one = found.len() == 1;
        Self::read(found.into_iter().map(|(line, text)| {
            let line = (!is_one).then_some(line);
            (line, text)
        }))
    }

    /// Reads texts of one secret each.
    ///
    /// # Errors
    ///
    /// There is none, one of them can't be used, or two have the same id. The error counts them as
    /// lines.
    pub fn parse_each<S: AsRef<str>>(texts: &[S]) -> Result<Self, KeyringError> {
        let is_one = texts.len() == 1;
        let texts = texts.iter().map(AsRef::as_ref).enumerate();
        Self::read(texts.map(|(index, text)| ((!is_one).then_some(index + 1), text)))
    }

    fn read<'a>(
        texts: impl ExactSizeIterator<Item = (Option<usize>, &'a str)>,
    ) -> Result<Self, KeyringError> {
        let count = texts.len();
        // Before any is read: each may be a passphrase.
        if count > KEYS_MAX {
            return Err(KeyringError::TooMany { count });
        }
        let mut keyring = Self(Vec::with_capacity(count));
        for (line, text) in texts {
            let secret =
                Secret::parse(text).map_err(|error| KeyringError::Secret { line, error })?;
            keyring.add(secret).map_err(|error| error.at(line))?;
        }
        if keyring.0.is_empty() {
            return Err(KeyringError::Empty);
        }
        Ok(keyring)
    }

    /// Adds one that is accepted, and preferred to none.
    ///
    /// # Errors
    ///
    /// Another has its id, or there are [`KEYS_MAX`] already.
    pub fn add(&mut self, secret: Secret) -> Result<(), KeyringError> {
        if self.get(secret.id()).is_some() {
            return Err(if secret.id() == PASSPHRASE_ID {
                KeyringError::TwoPassphrases { line: None }
            } else {
                KeyringError::SameId {
                    id: secret.id().to_owned(),
                    line: None,
                }
            });
        }
        if self.0.len() >= KEYS_MAX {
            let count = self.0.len() + 1;
            return Err(KeyringError::TooMany { count });
        }
        self.0.push(secret);
        Ok(())
    }

    /// Those that are held, the preferred one first.
    pub fn secrets(&self) -> &[Secret] {
        &self.0
    }

    /// The one with this id.
    pub fn get(&self, id: &str) -> Option<&Secret> {
        self.0.iter().find(|secret| secret.id() == id)
    }

    /// Their ids, which anyone may see.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(Secret::id)
    }
}

impl From<Secret> for Keyring {
    fn from(secret: Secret) -> Self {
        Self(vec![secret])
    }
}

impl KeyringError {
    fn at(self, at: Option<usize>) -> Self {
        match self {
            Self::SameId { id, .. } => Self::SameId { id, line: at },
            Self::TwoPassphrases { .. } => Self::TwoPassphrases { line: at },
            other => other,
        }
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_map();
        for secret in &self.0 {
            list.entry(&secret.id(), secret);
        }
        list.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "bz1:one:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const TWO: &str = "bz1:two:HxAeDx0OHA0bDBoLGQoYCRcIFgcVBhQFEwQSAxECEAE=";

    #[test]
    fn lines_are_secrets_but_blank_ones_and_comments() {
        let text = format!("\u{feff}\n# a robot's\n\n  {ONE}  \r\n# {TWO}\n{TWO}\n");
        let text = text.trim_start_matches('\u{feff}');
        let keyring = Keyring::parse(text).unwrap();
        assert_eq!(keyring.ids().collect::<Vec<_>>(), ["one", "two"]);
        assert!(keyring.get("two").is_some() && keyring.get("# two").is_none());
        assert_eq!(format!("{keyring:?}"), r#"{"one": ***, "two": ***}"#);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_without_its_text() {
        let short = "hush hush";
        let pass = "a passphrase that nobody guesses";
        let cases = [
            (String::new(), "the secret is empty"),
            ("# nothing\n\n".to_owned(), "the secret is empty"),
            (
                format!("{ONE}\n\n{short}\n"),
                "line 3: a passphrase of 9 bytes",
            ),
            (format!("{ONE}\n# x\n{ONE}\n"), "line 3: the key id `one`"),
            (
                format!("{pass}\n{pass}, this\n"),
                "line 2: a node can't hold two passphrases",
            ),
            (short.to_owned(), "a passphrase of 9 bytes"),
            (format!("{ONE}\n").repeat(17), "there are 17 secrets"),
        ];
        for (text, expected) in cases {
            let error = Keyring::parse(&text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
            assert!(
                !error.contains(short) && !error.contains(pass) && !error.contains('\n'),
                "{error}"
            );
        }
    }

    #[test]
    fn a_text_that_was_cut_anywhere_is_refused_or_has_fewer_secrets_never_others() {
        let text = format!("{ONE}\n{TWO}\n");
        for end in 0..text.len() {
            // What is read of half of a secret is a short passphrase at most, never another secret.
            match Keyring::parse(&text[..end]) {
                Ok(keyring) => assert!(
                    keyring.ids().eq(["one"]) || keyring.ids().eq(["one", "two"]),
                    "{end}: {keyring:?}"
                ),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
}
