//! Where and when it was measured: the section has a revision and a date of its own, since the page's
//! other sections may be of another run.
#![allow(clippy::disallowed_methods, reason = "a tool that asks the system")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What the section says about itself.
#[derive(Clone, Debug)]
pub struct Conditions {
    date: String,
    revision: String,
    cores: usize,
    cpu: String,
    kernel: String,
    file_system: String,
    load: [String; 2],
    took: Duration,
}

impl Conditions {
    /// Asks, before anything is measured; `data` is where data goes.
    pub(crate) fn before(data: &Path) -> Self {
        let data = data.to_string_lossy();
        let changed = said("git", &["status", "--porcelain", "--", ".", ":!docs/benchmarks.md"]);
        let note = if changed.is_empty() { "" } else { ", with changes not in it" };
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("?");
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            date: said("date", &["-u", "+%F %H:%M UTC"]),
            revision: format!("{}{note}", said("git", &["rev-parse", "--short", "HEAD"])),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cpu: cpu.trim_start_matches(['\t', ' ', ':']).to_owned(),
            kernel: kernel.trim().to_owned(),
            file_system: said("findmnt", &["-no", "FSTYPE", "-T", &data]),
            load: [load(), String::new()],
            took: Duration::ZERO,
        }
    }

    /// Asks again when all is measured.
    pub(crate) fn after(&mut self, took: Duration) {
        self.took = took;
        let [_, after] = &mut self.load;
        *after = load();
    }

    /// As a paragraph.
    pub(crate) fn text(&self) -> String {
        let Self { date, revision, cores, cpu, kernel, file_system, load: [before, after], took } =
            self;
        format!(
            "Measured {date} at revision {revision}, in {} s, by `cargo xtask bench` or `cargo xtask bench ledger`: \
             {cores} cores, {cpu}, Linux {kernel}, data on {file_system}; the load average was {before} before and \
             {after} after.",
            took.as_secs(),
        )
    }
}

/// The checkout.
pub fn repository() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).unwrap_or(own).to_path_buf()
}

fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// The first line of what a program says.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(repository()).output();
    output.map_or_else(
        |_| "?".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().into(),
    )
}
