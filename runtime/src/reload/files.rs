//! What tells that a file has changed, whichever way it did.
//!
//! Files are replaced rather than written: renamed over, or reached through a symbolic link that is
//! renamed over (Kubernetes does so with a directory, `..data`). So what is watched is every directory
//! in which something on the way to the file has its name, and what is compared is where that way leads.

use std::{
    collections::{BTreeSet, VecDeque},
    fs,
    path::{Component, Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use tokio::sync::Notify;

/// Links that are followed, as the system does.
const LINKS: usize = 40;

/// What is the same as long as a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    path: PathBuf,
    length: u64,
    modified: Option<SystemTime>,
    /// Device, inode, mode, owner, and the last change of any of these.
    #[cfg(unix)]
    inode: (u64, u64, u32, u32, i64, i64),
}

impl Stamp {
    /// Of the file that a path leads to, if there is one.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let path = fs::canonicalize(path).ok()?;
        let facts = fs::metadata(&path).ok()?;
        Some(Self {
            length: facts.len(),
            modified: facts.modified().ok(),
            #[cfg(unix)]
            inode: {
                use std::os::unix::fs::MetadataExt;
                let changed = (facts.ctime(), facts.ctime_nsec());
                let (seconds, nanos) = changed;
                (
                    facts.dev(),
                    facts.ino(),
                    facts.mode(),
                    facts.uid(),
                    seconds,
                    nanos,
                )
            },
            path,
        })
    }
}

/// Watches directories.
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    directories: BTreeSet<PathBuf>,
}

impl Watch {
    /// Tells `changed` of whatever happens.
    pub(super) fn new(changed: Arc<Notify>) -> Self {
        let tell = move |event: notify::Result<Event>| {
            // An error means that something was missed.
            if event.map_or(true, |event| is_change(&event.kind)) {
                changed.notify_one();
            }
        };
        let watcher = notify::recommended_watcher(tell)
            .inspect_err(|error| {
                tracing::warn!(%error, "changes of files can't be noticed on this system; SIGHUP and `Node::reload` \
                                        read them again");
            })
            .ok();
        Self {
            watcher,
            directories: BTreeSet::new(),
        }
    }

    /// Watches what leads to these files as it is now.
    pub(super) fn follow(&mut self, files: &[&Path]) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        let wanted: BTreeSet<_> = files.iter().flat_map(|file| directories(file)).collect();
        // All of them anew: one of the same name may be another since.
        for directory in std::mem::take(&mut self.directories) {
            // It may be gone, and its watch with it.
            let _ = watcher.unwatch(&directory);
        }
        for directory in wanted {
            match watcher.watch(&directory, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.directories.insert(directory)),
                Err(error) => {
                    let directory = directory.display();
                    tracing::warn!(%directory, %error, "changes of files in there aren't noticed; SIGHUP and \
                                                        `Node::reload` read them again");
                }
            }
        }
    }
}

/// To look at a file is no change of it.
fn is_change(kind: &EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

/// The directories in which a name on the way to the file stands that may come to mean something else:
/// that of the file, of each link, and of what isn't there yet.
fn directories(file: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let Ok(file) = std::path::absolute(file) else {
        return found;
    };
    let mut links = 0;
    let mut at = PathBuf::new();
    let mut rest: VecDeque<_> = file.components().map(name).collect();
    while let Some(part) = rest.pop_front() {
        let here = at.clone();
        match part.to_str() {
            Some("..") => {
                at.pop();
                continue;
            }
            Some(".") => continue,
            _ => at.push(&part),
        }
        let Ok(facts) = fs::symlink_metadata(&at) else {
            // Not there: it may come.
            found.insert(here);
            return found;
        };
        if facts.is_symlink() {
            found.insert(here.clone());
            links += 1;
            let Ok(target) = fs::read_link(&at) else {
                return found;
            };
            if links > LINKS {
                return found;
            }
            // From where the link is; pushing an absolute one begins at the root.
            at = here;
            for part in target.components().rev().map(name) {
                rest.push_front(part);
            }
        } else if rest.is_empty() {
            found.insert(here);
        }
    }
    found
}

fn name(part: Component<'_>) -> PathBuf {
    PathBuf::from(part.as_os_str())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_directory_on_the_way_to_a_file_is_known_links_and_what_is_missing_included() {
        let scratch = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(scratch.path()).unwrap();
        let at = |path: &str| root.join(path);
        let of = |path: &str| directories(&at(path)).into_iter().collect::<Vec<_>>();
        fs::create_dir_all(at("mount/..one")).unwrap();
        fs::write(at("mount/..one/secret"), "1").unwrap();
        symlink("..one", at("mount/..data")).unwrap();
        symlink("..data/secret", at("mount/secret")).unwrap();
        symlink(at("mount"), at("etc")).unwrap();

        assert_eq!(of("mount/..one/secret"), [at("mount/..one")]);
        assert_eq!(of("mount/secret"), [at("mount"), at("mount/..one")]);
        let all = [root.clone(), at("mount"), at("mount/..one")];
        assert_eq!(of("etc/secret"), all);
        assert_eq!(of("no/such/file"), std::slice::from_ref(&root));
        symlink("loop", at("loop")).unwrap();
        assert_eq!(of("loop"), [root]);
    }

    #[test]
    fn a_stamp_changes_with_the_content_the_permissions_and_the_way_there() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("secret");
        assert_eq!(Stamp::of(&file), None);
        fs::write(&file, "1").unwrap();
        let first = Stamp::of(&file);
        assert!(first.is_some() && first == Stamp::of(&file));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
        let second = Stamp::of(&file);
        assert_ne!(first, second);
        let other = scratch.path().join("other");
        fs::write(&other, "1").unwrap();
        fs::rename(&other, &file).unwrap();
        assert_ne!(second, Stamp::of(&file));
    }
}
