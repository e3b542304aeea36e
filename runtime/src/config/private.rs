//! Files with secrets in them: read only if nobody else can.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use zeroize::Zeroizing;

use crate::ConfigError;

/// The most that a file with secrets, or a configuration, may have.
const LONGEST: u64 = 1024 * 1024;

/// A text file that was opened once: what is checked is what was read.
pub(crate) struct PrivateFile {
    pub(crate) text: Zeroizing<String>,
    file: File,
}

impl PrivateFile {
    /// Reads it, `what` it is being for people.
    ///
    /// # Errors
    ///
    /// It can't be read; the error names it, with the remedy.
    pub(crate) fn read(what: &str, path: &Path) -> Result<Self, ConfigError> {
        let failed = |error: &io::Error| unreadable(what, path, error);
        let file = File::open(path).map_err(|error| failed(&error))?;
        let length = file.metadata().map_or(0, |it| it.len().min(LONGEST));
        // Room for all of it, so that no half of it stays behind when it grows.
        let room = usize::try_from(length).unwrap_or_default() + 1;
        let mut text = Zeroizing::new(String::with_capacity(room));
        let mut limited = (&file).take(LONGEST + 1);
        limited
            .read_to_string(&mut text)
            .map_err(|error| failed(&error))?;
        if text.len() as u64 > LONGEST {
            return Err(ConfigError::new(
                format!("{what} {}", path.display()),
                "is longer than 1 MiB; it isn't what it is taken for, check the path",
            ));
        }
        Ok(Self { text, file })
    }

    /// Refuses a file of ours that others may read or write, as ssh does. That somebody else owns it,
    /// and lets us read it, is theirs to answer for.
    ///
    /// # Errors
    ///
    /// It is open to others; the error has the command that closes it.
    pub(crate) fn check(&self, what: &str, path: &Path) -> Result<(), ConfigError> {
        match open_to_others(&self.file) {
            Ok(None) => Ok(()),
            Ok(Some(mode)) => Err(ConfigError::new(
                format!("{what} {}", path.display()),
                format!(
                    "can be read or changed by other users of this machine (mode {mode:04o}), so what is in it \
                     is no secret; close it with `chmod 600 {}`, and make a new secret if others use this machine",
                    path.display()
                ),
            )),
            Err(error) => Err(unreadable(what, path, &error)),
        }
    }
}

pub(super) fn unreadable(what: &str, path: &Path, error: &io::Error) -> ConfigError {
    ConfigError::new(
        format!("{what} {}", path.display()),
        format!("can't be read ({error}); check the path and who may read it"),
    )
}

/// The permissions, if the file is ours and others have any.
#[cfg(unix)]
fn open_to_others(file: &File) -> io::Result<Option<u32>> {
    use std::os::unix::fs::MetadataExt;
    let facts = file.metadata()?;
    let mode = facts.mode() & 0o7777;
    let is_ours = facts.uid() == rustix::process::geteuid().as_raw();
    Ok((is_ours && mode & 0o077 != 0).then_some(mode))
}

#[cfg(not(unix))]
fn open_to_others(_: &File) -> io::Result<Option<u32>> {
    Ok(None)
}
