//! Where builds go. A checkout that has been built keeps its own `target`; a fresh one shares a
//! folder in the user's cache, so that the next fresh clone starts warm. That folder is used by one
//! run at a time and never stays above its size limit.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::shell::Failure;

/// Above this the shared folder is pruned.
const LIMIT: u64 = 15 * 1024 * 1024 * 1024;

/// The folder that builds go to.
#[derive(Debug)]
pub(crate) struct Target {
    /// Absolute.
    pub(crate) path: PathBuf,
    /// Held while this run uses the shared folder.
    lock: Option<File>,
}

impl Target {
    /// `CARGO_TARGET_DIR`, the checkout's own `target` if it has been built, or the shared folder.
    pub(crate) fn choose(root: &Path) -> Result<Self, Failure> {
        if let Some(given) = std::env::var_os("CARGO_TARGET_DIR").filter(|dir| !dir.is_empty()) {
            let path = std::path::absolute(given).map_err(|error| {
                Failure::new(format!("CARGO_TARGET_DIR is not a usable path: {error}"))
            })?;
            return Ok(Self { path, lock: None });
        }
        let own = root.join("target");
        match user_cache() {
            Some(cache) if !has_been_built(&own) => Self::shared(&cache.join("phiward")),
            _ => Ok(Self { path: own, lock: None }),
        }
    }

    /// Whether other checkouts use it, too.
    pub(crate) const fn is_shared(&self) -> bool {
        self.lock.is_some()
    }

    fn shared(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join("target");
        let failed = |error: std::io::Error| {
            Failure::new(format!("cannot use {}: {error}; set CARGO_TARGET_DIR", path.display()))
        };
        fs::create_dir_all(&path).map_err(failed)?;
        let lock = File::create(folder.join("lock")).map_err(failed)?;
        if lock.try_lock().is_err() {
            eprintln!("waiting: another run uses {}", path.display());
            lock.lock().map_err(failed)?;
        }
        prune(&path, LIMIT).map_err(failed)?;
        Ok(Self { path, lock: Some(lock) })
    }
}

/// `$XDG_CACHE_HOME`, or `~/.cache`.
fn user_cache() -> Option<PathBuf> {
    let absolute = |name| {
        std::env::var_os(name).map(PathBuf::from).filter(|path: &PathBuf| path.is_absolute())
    };
    absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))
}

/// The rooms that this task runner is built with.
const OWN: [&str; 3] = ["phiward-domain-", "phiward-keys-", "phiward-ledger-"];

/// Whether more than this task runner and the rooms that it uses was built there.
fn has_been_built(target: &Path) -> bool {
    names(&target.join("debug/.fingerprint"))
        .iter()
        .any(|name| name.starts_with("phiward-") && !OWN.iter().any(|own| name.starts_with(own)))
}

/// Frees space: first what clones at other paths left behind, then, if that is not enough, all builds.
fn prune(target: &Path, limit: u64) -> std::io::Result<()> {
    if size(target) <= limit {
        return Ok(());
    }
    for profile in ["debug", "release"] {
        let profile = target.join(profile);
        for folder in ["incremental", ".fingerprint", "deps", "build"] {
            let folder = profile.join(folder);
            for name in names(&folder) {
                // A file without an extension in `deps` is a linked program: ours or a test of ours.
                let linked = folder.ends_with("deps") && !name.contains('.');
                if is_ours(&name) || linked || folder.ends_with("incremental") {
                    remove(&folder.join(name))?;
                }
            }
        }
    }
    if size(target) > limit {
        for folder in ["debug", "release", "doc"] {
            remove(&target.join(folder))?;
        }
    }
    Ok(())
}

fn is_ours(name: &str) -> bool {
    let name = name.strip_prefix("lib").unwrap_or(name);
    name.starts_with("phiward") || name.starts_with("xtask")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn remove(path: &Path) -> std::io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    }
}

/// Bytes in all files below; links are not followed.
fn size(path: &Path) -> u64 {
    let Ok(found) = fs::symlink_metadata(path) else { return 0 };
    if found.is_dir() {
        names(path).iter().map(|name| size(&path.join(name))).sum()
    } else {
        found.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str, files: &[&str]) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        remove(&folder).unwrap();
        for file in files {
            let file = folder.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, [0; 100]).unwrap();
        }
        folder
    }

    #[test]
    fn building_only_the_task_runner_leaves_a_checkout_fresh() {
        let fresh = folder(
            "fresh",
            &[
                "debug/.fingerprint/xtask-1/a",
                "debug/.fingerprint/phiward-domain-2/a",
                "debug/.fingerprint/phiward-keys-2/a",
                "debug/.fingerprint/phiward-ledger-2/a",
            ],
        );
        assert!(!has_been_built(&fresh));
        let built = folder("built", &["debug/.fingerprint/phiward-web-3/a"]);
        assert!(has_been_built(&built));
        remove(&fresh).unwrap();
        remove(&built).unwrap();
    }

    #[test]
    fn pruning_takes_our_own_builds_first_and_keeps_what_is_costly() {
        let files = [
            "debug/deps/libsqlx-1.rlib",
            "debug/deps/libphiward_web-2.rlib",
            "debug/deps/journey-3",
            "debug/.fingerprint/sqlx-1/a",
            "debug/.fingerprint/phiward-web-2/a",
            "debug/incremental/x/a",
            "partners/npm/a",
        ];
        let target = folder("prune", &files);
        let left = || files.map(|file| target.join(file).exists());

        prune(&target, 700).unwrap();
        assert_eq!(left(), [true; 7], "within the limit nothing goes");
        prune(&target, 300).unwrap();
        assert_eq!(left(), [true, false, false, true, false, false, true]);
        prune(&target, 299).unwrap();
        assert_eq!(left(), [false, false, false, false, false, false, true]);
        remove(&target).unwrap();
    }
}
