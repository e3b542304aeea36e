//! A file of secrets on disk: read under a lock, replaced as a whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use botzilla_wire::{Keyring, Secret};
use zeroize::Zeroizing;

use crate::error::CliError;

/// A file of secrets that nobody else changes meanwhile.
pub(super) struct KeyFile {
    /// As it was typed.
    shown: PathBuf,
    /// The file itself: a link to it stays a link.
    path: PathBuf,
    text: Zeroizing<String>,
    /// Locked until it is dropped.
    file: File,
}

impl KeyFile {
    /// Makes it, for its owner alone, with one secret.
    pub(super) fn create(path: &Path, secret: &Secret) -> Result<(), CliError> {
        let line = secret.to_text();
        let written = begin(path).and_then(|mut file| {
            file.write_all(line.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            sync_directory(path)
        });
        written.map_err(|error| failed("written", path, &error))
    }

    /// Opens one that is there, with the same demands as a node has.
    pub(super) fn open(path: &Path) -> Result<Self, CliError> {
        botzilla::read_secret_file(path)?;
        let shown = path.to_owned();
        let unread = |error: io::Error| failed("read", path, &error);
        let path = fs::canonicalize(path).map_err(unread)?;
        loop {
            let mut file = File::open(&path).map_err(unread)?;
            file.lock().map_err(unread)?;
            // Who had it before may have put another in its place.
            if !is_same(&file, &path).map_err(unread)? {
                continue;
            }
            let mut text = Zeroizing::new(String::with_capacity(64 * 1024));
            file.read_to_string(&mut text).map_err(unread)?;
            return Ok(Self {
                shown,
                path,
                text,
                file,
            });
        }
    }

    /// What it has.
    pub(super) fn keyring(&self) -> Result<Keyring, CliError> {
        Keyring::parse(&self.text)
            .map_err(|error| CliError::not_asked(format!("{}: {error}", self.shown.display())))
    }

    /// Puts another text in its place, all of it or nothing; what is no keyring isn't written.
    pub(super) fn change(
        &mut self,
        change: impl FnOnce(&str) -> Result<Zeroizing<String>, CliError>,
    ) -> Result<Keyring, CliError> {
        let text = change(&self.text)?;
        let keyring = Keyring::parse(&text).map_err(|error| {
            let file = self.shown.display();
            CliError::not_asked(format!("{file} stays as it is: {error}"))
        })?;
        self.replace(&text)
            .map_err(|error| failed("replaced", &self.shown, &error))?;
        self.text = text;
        Ok(keyring)
    }

    fn replace(&self, text: &str) -> io::Result<()> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        // Always the same: what somebody left half-way is in the way of nobody.
        let next = self.path.with_file_name(format!(".{name}.rotate"));
        match fs::remove_file(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let written = begin(&next).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            keep_owner(&self.file, &file)?;
            file.sync_all()?;
            fs::rename(&next, &self.path)
        });
        if written.is_err() {
            // It has secrets in it.
            let _ = fs::remove_file(&next);
        }
        written?;
        sync_directory(&self.path)
    }
}

/// A new file that nobody else can open, whatever the umask.
fn begin(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let file = options.open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // A umask may have taken too much.
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

/// The new file is whose the old one was: root may rotate what a robot's user reads.
#[cfg(unix)]
fn keep_owner(old: &File, new: &File) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let (old, mine) = (old.metadata()?, new.metadata()?);
    if (old.uid(), old.gid()) != (mine.uid(), mine.gid()) {
        fchown(new, Some(old.uid()), Some(old.gid()))?;
    }
    // As closed as it was, or closer.
    new.set_permissions(old.permissions())
}

#[cfg(not(unix))]
fn keep_owner(_: &File, _: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn is_same(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let (open, there) = (file.metadata()?, fs::metadata(path)?);
    Ok((open.dev(), open.ino()) == (there.dev(), there.ino()))
}

#[cfg(not(unix))]
fn is_same(_: &File, _: &Path) -> io::Result<bool> {
    Ok(true)
}

/// A rename lasts once its directory is on the disk.
#[cfg(unix)]
fn sync_directory(file: &Path) -> io::Result<()> {
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

fn failed(what: &str, path: &Path, error: &io::Error) -> CliError {
    CliError::not_asked(format!(
        "{} can't be {what} ({error}); check the path, and who may write there",
        path.display()
    ))
}
