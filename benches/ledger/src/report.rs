//! The figures as a section of a page, and in a few lines for a terminal.

use crate::proof::Verification;
use crate::{Options, Results};

/// Median, least and most.
fn spread(values: impl Iterator<Item = f64>, digits: usize) -> (f64, String) {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    let median = at(values.len() / 2);
    let (least, most) = (at(0), at(values.len().max(1) - 1));
    (median, format!("{median:.digits$} ({least:.digits$}–{most:.digits$})"))
}

fn held(holds: bool) -> &'static str {
    if holds { "reached" } else { "**missed**" }
}

/// Rows: what, measured, target, whether it is reached.
fn rows(results: &Results) -> Vec<[String; 4]> {
    let (share, share_text) = spread(results.appends.iter().map(|one| one.share * 100.0), 0);
    let (syncs, syncs_text) = spread(results.appends.iter().map(|one| one.p50 / one.raw_sync), 2);
    let of_sha = |one: &Verification| one.rate / one.sha256 * 100.0;
    let (verify, verify_text) = spread(results.verifications.iter().map(of_sha), 0);
    let memory = |all: &[Verification]| spread(all.iter().map(|one| one.memory), 1);
    let (most, most_text) = memory(&results.verifications);
    let text = |values: &[&str]| values.join("");
    vec![
        [
            "append, 64 writers waiting: share of what the raw disk does with the same bytes in the \
             same groups"
                .into(),
            text(&[&share_text, " %"]),
            "at least 60 %".into(),
            held(share >= 60.0).into(),
        ],
        [
            "median wait of a writer, in raw syncs of such a group".into(),
            syncs_text,
            "at most 2".into(),
            held(syncs <= 2.0).into(),
        ],
        [
            "verify: share of one core's SHA-256 over the bytes read".into(),
            text(&[&verify_text, " %"]),
            "at least 70 %".into(),
            held(verify >= 70.0).into(),
        ],
        [
            "verify: most memory of the process".into(),
            text(&[&most_text, " MiB"]),
            "under 64 MiB".into(),
            held(most < 64.0).into(),
        ],
    ]
}

/// Rows without a target.
fn facts(results: &Results) -> Vec<[String; 2]> {
    let mega = 1e-6;
    let rate = |all: &[Verification]| spread(all.iter().map(|one| one.rate * mega), 0).1;
    let memory = |all: &[Verification]| spread(all.iter().map(|one| one.memory), 1).1;
    let [first, last] = results.log.growth;
    #[allow(clippy::cast_precision_loss, reason = "shown with one digit")]
    let (records, gigabytes) = (results.log.records, results.log.bytes as f64 / 1e9);
    let of_verify = spread(
        results
            .proofs
            .iter()
            .zip(&results.verifications)
            .map(|(proof, verification)| gigabytes * 1e9 / verification.rate / proof),
        2,
    );
    vec![
        ["append, 64 writers: records a second".into(), {
            spread(results.appends.iter().map(|one| one.rate), 0).1
        }],
        ["records in a group".into(), { spread(results.appends.iter().map(|one| one.group), 1).1 }],
        ["one core's SHA-256, MB/s".into(), {
            spread(results.verifications.iter().map(|one| one.sha256 * mega), 0).1
        }],
        [format!("the large log: {records} records"), format!("{gigabytes:.1} GB")],
        [
            "append with 1,024 writers: records a second in its first and last tenth".into(),
            format!("{first:.0}, {last:.0}"),
        ],
        ["verify the large log, MB/s".into(), rate(&results.verifications)],
        ["verify a log a tenth of it, MB/s".into(), rate(&results.small)],
        ["memory for a log a tenth of it, MiB".into(), memory(&results.small)],
        ["one inclusion proof, seconds".into(), spread(results.proofs.iter().copied(), 1).1],
        ["the rate of a proof over the rate of verifying".into(), of_verify.1],
    ]
}

/// The section.
pub fn page(options: &Options, results: &Results) -> String {
    let mut page = format!(
        "## The ledger\n\nMedian (least–most) of {} rounds of {} s each; the raw disk and SHA-256 are measured beside \
         each round.\n\n| what | measured | target | |\n|---|---|---|---|\n",
        options.rounds,
        options.duration.as_secs(),
    );
    for row in rows(results) {
        page.push_str(&format!("| {} |\n", row.join(" | ")));
    }
    page.push_str("\n| what | measured |\n|---|---|\n");
    for row in facts(results) {
        page.push_str(&format!("| {} |\n", row.join(" | ")));
    }
    page
}

/// For a terminal.
pub fn summary(results: &Results) -> String {
    let rows = rows(results).into_iter().map(|[what, measured, target, held]| {
        format!("{measured:>18}  {what} ({target}: {})", held.trim_matches('*'))
    });
    let facts =
        facts(results).into_iter().map(|[what, measured]| format!("{measured:>18}  {what}"));
    rows.chain(facts).collect::<Vec<_>>().join("\n")
}
