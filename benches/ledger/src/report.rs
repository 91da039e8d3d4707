//! The figures as a section of a page, and in a few lines for a terminal.

use crate::append::Append;
use crate::page::HEADING;
use crate::proof::Verification;
use crate::{Options, Results};

const MEGA: f64 = 1e-6;

/// Median, least and most.
fn spread(values: impl Iterator<Item = f64>, digits: usize) -> (f64, String) {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    let median = at(values.len() / 2);
    let (least, most) = (at(0), at(values.len().max(1) - 1));
    (median, format!("{median:.digits$} ({least:.digits$}–{most:.digits$})"))
}

fn most(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, f64::max)
}

/// A figure beside what it is to be: at least or at most so much.
struct Target {
    what: &'static str,
    measured: f64,
    shown: String,
    bound: Bound,
    unit: &'static str,
}

enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    /// What, measured, target, whether it is met.
    fn row(&self) -> [String; 4] {
        let (text, wanted, holds) = match self.bound {
            Bound::AtLeast(wanted) => ("≥", wanted, self.measured >= wanted),
            Bound::AtMost(wanted) => ("≤", wanted, self.measured <= wanted),
        };
        let unit = self.unit;
        let verdict = if holds { "met" } else { "**not met**" };
        [
            self.what.into(),
            format!("{} {unit}", self.shown),
            format!("{text} {wanted} {unit}"),
            verdict.into(),
        ]
    }
}

fn targets(results: &Results) -> Vec<Target> {
    let target =
        |what, (measured, shown), bound, unit| Target { what, measured, shown, bound, unit };
    let share = |one: &Append| one.share * 100.0;
    let syncs = |one: &Append| one.in_syncs;
    let of_sha = |one: &Verification| one.rate / one.sha256 * 100.0;
    let smaller = results.smaller.iter().flat_map(|(_, _, all)| all);
    let memory = most(smaller.chain(&results.verifications).map(|one| one.memory));
    let verify = spread(results.verifications.iter().map(|one| one.rate), 0).0;
    let prove = results.search.recount / verify * 100.0;
    vec![
        target(
            "append, 64 writers waiting: of what the raw disk does with the same bytes, written and synced in the \
             same groups",
            spread(results.appends.iter().map(share), 0),
            Bound::AtLeast(60.0),
            "%",
        ),
        target(
            "append, 64 writers waiting: the median wait of one, over the raw write and sync of such a group",
            spread(results.appends.iter().map(syncs), 2),
            Bound::AtMost(2.0),
            "syncs",
        ),
        target(
            "append, one writer: the same",
            spread(results.alone.iter().map(syncs), 2),
            Bound::AtMost(2.0),
            "syncs",
        ),
        target(
            "verify the large log: of what one core hashes with SHA-256 in the same seconds",
            spread(results.verifications.iter().map(of_sha), 0),
            Bound::AtLeast(70.0),
            "%",
        ),
        target(
            "verify: most memory of the process, whatever the log's size",
            (memory, format!("{memory:.1}")),
            Bound::AtMost(64.0),
            "MiB",
        ),
        target(
            "search the large log for a patient by the index, and open what is shown (the newest 100)",
            spread(results.search.each.iter().copied(), 1),
            Bound::AtMost(50.0),
            "ms",
        ),
        target(
            "recount a patient from every record (`--prove`): of the rate of verifying",
            (prove, format!("{prove:.0}")),
            Bound::AtLeast(100.0),
            "%",
        ),
        target(
            "recover: a start that must walk 100 MB",
            spread(results.recoveries.iter().copied(), 2),
            Bound::AtMost(1.0),
            "s",
        ),
    ]
}

/// Figures without a target.
fn facts(results: &Results) -> Vec<[String; 2]> {
    let Results { appends, alone, verifications, search, log, .. } = results;
    let append =
        |all: &[Append], value: fn(&Append) -> f64, digits| spread(all.iter().map(value), digits).1;
    let (records, bytes) = (float(log.records), float(log.bytes));
    let of_verify = verifications
        .iter()
        .zip(&results.proofs)
        .map(|(verification, proof)| bytes / verification.rate / proof);
    vec![
        ["append, 64 writers: records/s".into(), append(appends, |one| one.rate, 0)],
        ["append, 64 writers: records in a group".into(), append(appends, |one| one.group, 1)],
        ["append, 64 writers: median wait, µs".into(), append(appends, |one| one.p50, 0)],
        ["raw write and sync of such a group, µs".into(), append(appends, |one| one.raw_sync, 0)],
        ["append, one writer: records/s".into(), append(alone, |one| one.rate, 0)],
        ["append, one writer: median wait, µs".into(), append(alone, |one| one.p50, 0)],
        ["raw write and sync of one record, µs".into(), append(alone, |one| one.raw_sync, 0)],
        ["one core's SHA-256, MB/s".into(), {
            spread(verifications.iter().map(|one| one.sha256 * MEGA), 0).1
        }],
        [
            format!("the large log, {} records: MB, bytes a record", log.records),
            format!("{:.0}, {:.0}", bytes * MEGA, bytes / records),
        ],
        ["one inclusion proof in it, ms".into(), {
            spread(results.proofs.iter().map(|proof| proof * 1e3), 1).1
        }],
        ["verifying it takes as long as so many proofs".into(), spread(of_verify, 0).1],
        ["its index: records/s when it is made from nothing".into(), format!("{:.0}", search.made)],
        [
            "its index: MB, bytes a record".into(),
            format!("{:.0}, {:.1}", float(search.bytes) * MEGA, float(search.bytes) / records),
        ],
        ["a search: patients asked for".into(), search.each.len().to_string()],
        ["a search: records of a patient".into(), format!("{:.1}", search.found)],
        ["a search: the index alone, ms".into(), spread(search.index.iter().copied(), 2).1],
        ["a recount, MB/s".into(), format!("{:.0}", search.recount * MEGA)],
    ]
}

/// How appending and verifying grow with the log.
fn growth(results: &Results) -> String {
    let mut page = String::from(
        "\n### How it grows\n\nVerifying, in a process of its own (linear in bytes, memory flat):\n\n\
         | records | MB | seconds | MB/s | memory, MiB |\n|---|---|---|---|---|\n",
    );
    let large = (results.log.records, results.log.bytes, results.verifications.clone());
    for (records, bytes, all) in results.smaller.iter().chain(std::iter::once(&large)) {
        let bytes = float(*bytes);
        let (rate, rate_text) = spread(all.iter().map(|one| one.rate * MEGA), 0);
        let (_, memory) = spread(all.iter().map(|one| one.memory), 1);
        let (mega, seconds) = (bytes * MEGA, bytes * MEGA / rate);
        page.push_str(&format!(
            "| {records} | {mega:.0} | {seconds:.2} | {rate_text} | {memory} |\n"
        ));
    }
    page.push_str(
        "\nAppending to the large log with 1,024 writers, tenth by tenth (flat):\n\n| records there | records/s |\n\
         |---|---|\n",
    );
    for (tenth, rate) in (1..).zip(&results.log.tenths) {
        page.push_str(&format!("| {} | {rate:.0} |\n", results.log.records / 10 * tenth));
    }
    page
}

/// The section.
pub fn section(options: &Options, results: &Results) -> String {
    let mut page = format!(
        "{HEADING}\n\n{}\n\nMedian (least–most) of {} rounds, of {} s each where appending is measured; the raw disk and \
         SHA-256 are measured beside each round. A record is a release of three resources, sealed, with its blind \
         tokens. Every writer waits until its record is durable before it brings the next: of 64, those that come \
         while a group is being synced wait for the rest of that sync and then for their own.\n\n\
         | | measured | target | |\n|---|---|---|---|\n",
        results.conditions.text(),
        options.rounds,
        options.duration.as_secs(),
    );
    for target in targets(results) {
        page.push_str(&format!("| {} |\n", target.row().join(" | ")));
    }
    page.push_str("\n| | measured |\n|---|---|\n");
    for row in facts(results) {
        page.push_str(&format!("| {} |\n", row.join(" | ")));
    }
    page.push_str(&growth(results));
    page
}

/// For a terminal.
pub fn summary(results: &Results) -> String {
    let rows = targets(results).into_iter().map(|target| {
        let [what, measured, target, verdict] = target.row();
        format!("{measured:>22}  {what} ({target}: {})", verdict.trim_matches('*'))
    });
    let facts =
        facts(results).into_iter().map(|[what, measured]| format!("{measured:>22}  {what}"));
    rows.chain(facts).collect::<Vec<_>>().join("\n")
}

#[allow(clippy::cast_precision_loss, reason = "shown with few digits")]
const fn float(count: u64) -> f64 {
    count as f64
}
