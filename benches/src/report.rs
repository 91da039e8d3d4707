//! The page: what was measured, as it was measured, beside the targets.

use std::fmt::Write;

use crate::Options;
use crate::load::Measured;
use crate::peers::CONFIGURATION;
use crate::run::{Grant, Pair, Results, answers, per_core_second};

/// Median, least and most of some rounds.
#[derive(Clone, Copy, Debug)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let half = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            at(half)
        } else {
            f64::midpoint(at(half.max(1) - 1), at(half))
        };
        Self { median, least: at(0), most: at(values.len().max(1) - 1) }
    }

    /// `12.3 (11.9–13.0)`.
    fn text(self, digits: usize) -> String {
        let Self { median, least, most } = self;
        format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
    }

    fn percent(self) -> String {
        let Self { median, least, most } = self;
        format!("{:.0} % ({:.0}–{:.0})", median * 100.0, least * 100.0, most * 100.0)
    }
}

fn spread(rounds: &[Measured], value: impl Fn(&Measured) -> f64) -> Spread {
    Spread::of(rounds.iter().map(value))
}

/// nginx's CPU time per request over the gateway's, round by round.
fn efficiency(pair: &Pair) -> Spread {
    let rounds = pair.nginx.iter().zip(&pair.phiward);
    Spread::of(rounds.map(|(nginx, phiward)| nginx.cpu_micros / phiward.cpu_micros))
}

/// Tokens per core-second over the raw signing rate, round by round.
fn of_signing(results: &Results, grant: &Grant) -> Spread {
    let rounds = grant.rounds.iter().zip(&results.raw);
    Spread::of(rounds.map(|(measured, raw)| per_core_second(measured) / raw.sign))
}

/// How many raw syncs the gateway adds to nginx's median latency on one connection.
fn syncs_added(results: &Results) -> Spread {
    let [_, _, single] = &results.pairs;
    let rounds = single.phiward.iter().zip(&single.nginx).zip(sync_medians(results));
    Spread::of(rounds.map(|((phiward, nginx), sync)| (phiward.p50 - nginx.p50) / sync))
}

/// The median of each round's raw syncs, in microseconds.
fn sync_medians(results: &Results) -> impl Iterator<Item = f64> {
    results.syncs.iter().map(|syncs| Spread::of(syncs.iter().copied()).median)
}

/// A target of `performance.md`: at least, or at most, this much, and the stretch beyond it.
struct Target {
    what: &'static str,
    measured: f64,
    shown: String,
    bound: Bound,
    wanted: [f64; 2],
    unit: &'static str,
}

enum Bound {
    AtLeast,
    AtMost,
}

impl Target {
    fn row(&self) -> String {
        let (sign, holds): (_, fn(f64, f64) -> bool) = match self.bound {
            Bound::AtLeast => ("≥", |measured, wanted| measured >= wanted),
            Bound::AtMost => ("≤", |measured, wanted| measured <= wanted),
        };
        let judge = |wanted: f64| {
            if wanted.is_nan() {
                return "—".to_owned();
            }
            let verdict = if holds(self.measured, wanted) { "met" } else { "**not met**" };
            format!("{sign} {wanted} {}: {verdict}", self.unit)
        };
        let [target, stretch] = self.wanted.map(judge);
        format!("| {} | {} | {target} | {stretch} |\n", self.what, self.shown)
    }
}

fn targets(results: &Results) -> Vec<Target> {
    let [read, search, _] = &results.pairs;
    let [credentials, _] = &results.grants;
    let percent = |what, spread: Spread, wanted: [f64; 2]| Target {
        what,
        measured: spread.median * 100.0,
        shown: spread.percent(),
        bound: Bound::AtLeast,
        wanted,
        unit: "%",
    };
    let at_most = |what, spread: Spread, digits, unit, wanted: [f64; 2]| Target {
        what,
        measured: spread.median,
        shown: format!("{} {unit}", spread.text(digits)),
        bound: Bound::AtMost,
        wanted,
        unit,
    };
    let one = |value: f64| Spread { median: value, least: value, most: value };
    let single = |target: Target| Target {
        shown: format!("{:.1} {}", target.measured, target.unit),
        ..target
    };
    let none = f64::NAN;
    vec![
        percent(
            "FHIR read 2 KB, seen token: CPU efficiency against nginx",
            efficiency(read),
            [40.0, 60.0],
        ),
        percent("FHIR search 25 entries, seen token: the same", efficiency(search), [35.0, 50.0]),
        at_most(
            "What gateway and durable record add to nginx's p50, one connection, in raw syncs",
            syncs_added(results),
            2,
            "syncs",
            [2.0, none],
        ),
        percent(
            "Client credentials, record durable, per core-second, against raw ES256 signing",
            of_signing(results, credentials),
            [none, 20.0],
        ),
        at_most(
            "Start to ready, existing data directory",
            Spread::of(results.starts.iter().copied()),
            0,
            "ms",
            [150.0, 60.0],
        ),
        single(at_most("Memory at rest (VmRSS)", one(results.idle), 1, "MiB", [40.0, 25.0])),
        single(at_most(
            "Memory under all of this load (VmHWM)",
            one(results.peak),
            1,
            "MiB",
            [96.0, 64.0],
        )),
        single(at_most("Release binary, stripped", one(results.binary), 1, "MB", [30.0, none])),
    ]
}

/// `docs/benchmarks.md`.
pub(crate) fn page(options: &Options, results: &Results) -> String {
    let mut page = String::from(
        "<!-- Written by `cargo xtask bench`. Never edit figures by hand. -->\n# Benchmarks\n\n\
         Figures of a shared machine mean little by themselves; what counts are the ratios, taken \
         side by side in one run. CPU time is that of the server's process tree \
         (`/proc/PID/stat`). Every figure is the median of all rounds, with the least and the most \
         in parentheses.\n\n",
    );
    page.push_str(
        "## Against the targets\n\n| | measured | target | stretch |\n|---|---|---|---|\n",
    );
    for target in targets(results) {
        page.push_str(&target.row());
    }
    page.push_str(NOT_MEASURED);
    pairs(&mut page, results);
    grants(&mut page, results);
    conditions(&mut page, options, results);
    page
}

/// The targets, for the terminal.
pub(crate) fn summary(results: &Results) -> String {
    targets(results).iter().map(Target::row).collect()
}

fn pairs(page: &mut String, results: &Results) {
    page.push_str(
        "\n## The gateway beside nginx\n\n\
         The gateway does everything on every request: TLS 1.3, token and grant, scope, patient, \
         each resource of the answer, a durable record that names the patient disclosed. nginx \
         checks nothing and records nothing. Both ask the same FHIR server. The token has been \
         seen before.\n\n\
         | | CPU µs per request | CPU efficiency | requests/s | core busy | p50 ms | p99 ms | bytes |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for pair in &results.pairs {
        let rows = [
            ("nginx", &pair.nginx, "100 %".to_owned()),
            ("Phiward", &pair.phiward, efficiency(pair).percent()),
        ];
        for (who, rounds, share) in rows {
            let _ = writeln!(
                page,
                "| {}: {who} | {} | {share} | {} | {:.0} % | {} | {} | {:.0} |",
                pair.name,
                spread(rounds, |m| m.cpu_micros).text(0),
                spread(rounds, |m| m.rate).text(0),
                spread(rounds, |m| m.busy).median * 100.0,
                spread(rounds, |m| m.p50 / 1e3).text(2),
                spread(rounds, |m| m.p99 / 1e3).text(2),
                spread(rounds, |m| m.bytes).median,
            );
        }
    }
    page.push_str(
        "\n\"Core busy\" is CPU time over the time that passed. Where it is far below 100 %, the \
         load or the FHIR server, which share the other core, was the limit, or the disk; requests \
         per second and latency are then not the server's own best.\n",
    );
}

fn grants(page: &mut String, results: &Results) {
    page.push_str(
        "\n## The token endpoint beside raw signing\n\n\
         Over TLS; what changes in SQLite, and the record, is durable before the answer. Client \
         credentials: each request brings a fresh ES256 assertion, which is verified and remembered, \
         and gets a signed access token. Refresh: a confidential client with its secret; the refresh \
         token is bound to it and stays.\n\n\
         | | per core-second | of raw signing | requests/s | core busy | p50 ms | p99 ms | answers |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for grant in &results.grants {
        let rounds = &grant.rounds;
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {:.0} % | {} | {} | {:.0} |",
            grant.name,
            spread(rounds, per_core_second).text(0),
            of_signing(results, grant).percent(),
            spread(rounds, |m| m.rate).text(0),
            spread(rounds, |m| m.busy).median * 100.0,
            spread(rounds, |m| m.p50 / 1e3).text(2),
            spread(rounds, |m| m.p99 / 1e3).text(2),
            answers(rounds),
        );
    }
    let raw =
        |value: fn(&crate::raw::Raw) -> f64| Spread::of(results.raw.iter().map(value)).text(0);
    let _ = write!(
        page,
        "\n| the machine, one core, same run | per second |\n|---|---|\n\
         | ES256 signatures (`keys::SigningKey`, 512 bytes) | {} |\n\
         | ES256 verifications (aws-lc, 512 bytes) | {} |\n\
         \n4 KiB append + fdatasync, one at a time, on the disk of the ledger, right before and after \
         the load on one connection: {} µs. Disks of shared hosts change within seconds; so do the \
         latencies that hang on them.\n",
        raw(|r| r.sign),
        raw(|r| r.verify),
        Spread::of(sync_medians(results)).text(0),
    );
}

fn conditions(page: &mut String, options: &Options, results: &Results) {
    let facts = &results.facts;
    let [before, after] = &results.load;
    let placed = if results.pinned {
        "the servers on core 0 (`taskset`), load and FHIR server on the others"
    } else {
        "everything on the only core"
    };
    let _ = write!(
        page,
        "\n## How this was measured\n\n\
         - {}, `cargo xtask bench{}{}`, {} s in all; revision {}.\n\
         - {} cores, {}, Linux {}; {placed}; data on {}.\n\
         - nginx {}, wrk {}.\n\
         - {} rounds; in each, every case for {} s, nginx and Phiward one after the other, who is \
         first alternating. A second of each case before, not counted. A run with any refused or \
         broken request is thrown away.\n\
         - The load average was {before} before and {after} after. During the rounds others used \
         {:.2} cores, and the host took away {:.2}. {}\n",
        facts.date,
        if options.typed.is_empty() { "" } else { " " },
        options.typed,
        results.took.as_secs(),
        facts.revision,
        facts.cores,
        facts.cpu,
        facts.kernel,
        facts.file_system,
        facts.nginx,
        facts.wrk,
        options.rounds,
        options.duration.as_secs(),
        results.others,
        results.stolen,
        if results.first {
            "Everything here ran before their work (nice −10)."
        } else {
            "Everything here shared the cores with them as an equal."
        },
    );
    page.push_str("\n```sh\nphiward-bench --serve-sample\n");
    page.push_str("phiward demo --listen 127.0.0.1:0 --json --upstream http://127.0.0.1:PORT --patients A,B\n");
    page.push_str("nginx -p FOLDER -c FOLDER/nginx.conf\n");
    for pair in &results.pairs {
        for (who, line) in ["Phiward", "nginx"].iter().zip(&pair.lines) {
            let _ = writeln!(page, "{line}  # {who}");
        }
    }
    for grant in &results.grants {
        let _ = writeln!(page, "{}  # {}", grant.line, grant.name);
    }
    let _ = write!(page, "```\n\n```nginx\n{CONFIGURATION}```\n");
}

const NOT_MEASURED: &str = "\n\
Targets that need a peer or a part that this run does not have are not judged here: the 1 MB bundle, \
an unseen token beside Envoy, the same gateway without its record, code + PKCE, refresh and client \
credentials beside oidc-provider, introspection, and how cost grows.\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_median_with_its_ends() {
        let odd = Spread::of([3.0, 1.0, 2.0]);
        assert_eq!(odd.text(0), "2 (1–3)");
        let even = Spread::of([4.0, 1.0, 2.0, 3.0]);
        assert_eq!(even.text(1), "2.5 (1.0–4.0)");
    }

    #[test]
    fn a_target_is_judged_by_its_own_side() {
        let target = |bound, measured| Target {
            what: "x",
            measured,
            shown: String::new(),
            bound,
            wanted: [10.0, f64::NAN],
            unit: "u",
        };
        assert_eq!(target(Bound::AtLeast, 10.0).row(), "| x |  | ≥ 10 u: met | — |\n");
        assert_eq!(target(Bound::AtLeast, 9.0).row(), "| x |  | ≥ 10 u: **not met** | — |\n");
        assert_eq!(target(Bound::AtMost, 10.0).row(), "| x |  | ≤ 10 u: met | — |\n");
        assert_eq!(target(Bound::AtMost, 11.0).row(), "| x |  | ≤ 10 u: **not met** | — |\n");
    }
}
