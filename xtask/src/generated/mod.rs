//! The pages of `docs/` that come from the code. A page is a path and a function that writes it;
//! `--check` fails for each page that is not what its function writes now.

mod exit_codes;
mod ledger_gaps;
mod ledger_kinds;
mod reject_reasons;

use std::fs;
use std::path::Path;

use crate::shell::{Failure, root};

/// Path from the root, and what stands there.
type Page = (&'static str, fn() -> String);

const PAGES: &[Page] = &[
    ("docs/reference/exit-codes.md", exit_codes::page),
    ("docs/reference/ledger-gaps.md", ledger_gaps::page),
    ("docs/reference/ledger-kinds.md", ledger_kinds::page),
    ("docs/reference/reject-reasons.md", reject_reasons::page),
];

/// `cargo xtask generated [--check]`
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => write(&root(), PAGES),
        ["--check"] => check(&root(), PAGES),
        _ => Err(Failure::usage("usage: cargo xtask generated [--check]")),
    }
}

/// Fails if a page is stale or missing.
pub(crate) fn check_all() -> Result<(), Failure> {
    check(&root(), PAGES)
}

fn write(root: &Path, pages: &[Page]) -> Result<(), Failure> {
    for (path, page) in pages {
        let file = root.join(path);
        let failed = |error| Failure::new(format!("cannot write {path}: {error}"));
        fs::create_dir_all(file.parent().unwrap_or(root)).map_err(failed)?;
        fs::write(&file, page()).map_err(failed)?;
    }
    Ok(())
}

fn check(root: &Path, pages: &[Page]) -> Result<(), Failure> {
    let stale = |(path, page): &&Page| {
        fs::read_to_string(root.join(path)).map_or(true, |found| found != page())
    };
    let stale: Vec<&str> = pages.iter().filter(stale).map(|(path, _)| *path).collect();
    if stale.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("stale: {}\nrun `cargo xtask generated`", stale.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_missing_or_edited_by_hand_is_stale() {
        let folder = std::env::temp_dir().join(format!("xtask-pages-{}", std::process::id()));
        let pages: &[Page] = &[("docs/a.md", || "a\n".into()), ("docs/b.md", || "b\n".into())];

        let missing = check(&folder, pages).unwrap_err();
        assert_eq!(missing.message, "stale: docs/a.md, docs/b.md\nrun `cargo xtask generated`");
        write(&folder, pages).unwrap();
        check(&folder, pages).unwrap();
        fs::write(folder.join("docs/b.md"), "b \n").unwrap();
        let edited = check(&folder, pages).unwrap_err();
        assert_eq!(edited.message, "stale: docs/b.md\nrun `cargo xtask generated`");
        fs::remove_dir_all(folder).unwrap();
    }
}
