use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use phiward_keys::custody::{Custody, FileKek};
use phiward_keys::key_file::{self, KeyFileError};
use phiward_keys::{KeyFault, Random, SystemRandom};

fn system() -> Arc<dyn Random> {
    Arc::new(SystemRandom)
}

#[test]
fn a_wrapped_key_comes_back_for_its_purpose_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kek");
    let made = FileKek::create(&path, system()).unwrap();
    let wrapped = made.wrap("ledger/period/2026-01", b"period key").unwrap();
    let opened = FileKek::open(&path, system()).unwrap();
    let key = opened.unwrap("ledger/period/2026-01", &wrapped).unwrap();
    assert_eq!(key.expose(), b"period key");
    assert_eq!(opened.unwrap("ledger/period/2026-02", &wrapped), Err(KeyFault));
    for at in 0..wrapped.len() {
        let mut changed = wrapped.clone();
        changed[at] ^= 1;
        assert_eq!(opened.unwrap("ledger/period/2026-01", &changed), Err(KeyFault));
    }
    let other = FileKek::create(&dir.path().join("other"), system()).unwrap();
    assert_eq!(other.unwrap("ledger/period/2026-01", &wrapped), Err(KeyFault));
    assert_ne!(made.wrap("p", b"k").unwrap(), made.wrap("p", b"k").unwrap());
}

#[test]
fn a_key_file_is_its_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kek");
    FileKek::create(&path, system()).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for open in [0o640, 0o604, 0o660, 0o601, 0o620] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(open)).unwrap();
        let error = FileKek::open(&path, system()).err().unwrap().to_string();
        assert!(error.contains(&format!("chmod 600 {}", path.display())), "{error}");
        assert!(error.contains(&format!("{open:03o}")), "{error}");
    }
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o400)).unwrap();
    assert!(FileKek::open(&path, system()).is_ok());
}

#[test]
fn a_key_file_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kek");
    FileKek::create(&path, system()).unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(FileKek::create(&path, system()), Err(KeyFileError::Exists(_))));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn what_is_no_key_is_named_and_its_content_kept_quiet() {
    let dir = tempfile::tempdir().unwrap();
    let good = format!("phiward-kek-1:{}", "ab".repeat(32));
    for (name, content) in [
        ("empty", String::new()),
        ("short", good[..77].to_owned()),
        ("long", format!("{good}ab\n")),
        ("lines", format!("{good}\n\n")),
        ("bare", "ab".repeat(32)),
        ("letters", format!("phiward-kek-1:{}", "zz".repeat(32))),
        ("huge", "a".repeat(20_000)),
    ] {
        let path = dir.path().join(name);
        key_file::create(&path, content.as_bytes()).unwrap();
        let error = FileKek::open(&path, system()).err().unwrap();
        assert!(matches!(error, KeyFileError::Malformed { .. }), "{name}");
        let text = error.to_string();
        assert!(text.contains(name) && !text.contains("abab"), "{text}");
    }
    let path = dir.path().join("good");
    key_file::create(&path, good.as_bytes()).unwrap();
    assert!(FileKek::open(&path, system()).is_ok());
    assert!(matches!(FileKek::open(dir.path(), system()), Err(KeyFileError::NotAFile(_))));
    assert!(matches!(
        FileKek::open(&dir.path().join("absent"), system()),
        Err(KeyFileError::Io { .. })
    ));
}

#[test]
fn without_randomness_no_key_is_made() {
    struct Dry;
    impl Random for Dry {
        fn fill(&self, _: &mut [u8]) -> Result<(), KeyFault> {
            Err(KeyFault)
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kek");
    assert!(FileKek::create(&path, Arc::new(Dry)).is_err());
    assert!(!path.exists());
}
