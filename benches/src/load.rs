//! Load by `wrk`: keep-alive TLS connections for some seconds, and what they saw. Only runs in which
//! every answer was a success count.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use crate::Outcome;
use crate::machine::Process;

/// What wrk did against one server, and what that cost the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// CPU time of the server's processes per request, in microseconds.
    pub(crate) cpu_micros: f64,
    /// CPU time of the server's processes over the time that passed: 1.0 is one core all the time.
    pub(crate) busy: f64,
    /// Requests per second.
    pub(crate) rate: f64,
    /// Median latency, in microseconds.
    pub(crate) p50: f64,
    /// The 99th percentile, in microseconds.
    pub(crate) p99: f64,
    /// Bytes of one answer, head included.
    pub(crate) bytes: f64,
    /// Answers.
    pub(crate) requests: u64,
}

/// One kind of request.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Whole URL.
    pub(crate) url: String,
    /// `Authorization`, if any.
    pub(crate) authorization: Option<String>,
    /// A file with a form on each line: POST; one line is sent again and again.
    pub(crate) bodies: Option<PathBuf>,
    /// Connections.
    pub(crate) connections: u32,
}

#[derive(Deserialize)]
struct Summary {
    requests: u64,
    micros: u64,
    bytes: u64,
    refused: u64,
    broken: u64,
    p50: u64,
    p99: u64,
}

/// Writes the script that [`Load::run`] needs.
pub(crate) fn write_script(folder: &Path) -> Outcome<PathBuf> {
    let path = folder.join("load.lua");
    std::fs::write(&path, include_str!("load.lua"))?;
    Ok(path)
}

impl Load {
    /// Runs it for whole seconds against a server whose processes these are.
    pub(crate) fn run(
        &self,
        script: &Path,
        duration: Duration,
        server: &[Process],
    ) -> Outcome<Measured> {
        let mut command = Command::new("wrk");
        command
            .args(["-t1", &format!("-c{}", self.connections)])
            .arg(format!("-d{}s", duration.as_secs()))
            .args(["--timeout", "10s", "-s"])
            .arg(script);
        if let Some(authorization) = &self.authorization {
            command.args(["-H", &format!("Authorization: {authorization}")]);
        }
        command.arg(&self.url);
        if let Some(bodies) = &self.bodies {
            command.arg("--").arg(bodies);
        }
        let before = cpu(server)?;
        let output = command.output()?;
        let spent = cpu(server)? - before;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().rev().find(|line| line.starts_with('{')).ok_or_else(|| {
            format!("wrk {}: {text}{}", self.url, String::from_utf8_lossy(&output.stderr))
        })?;
        let summary: Summary = serde_json::from_str(line)?;
        if summary.refused + summary.broken > 0 || summary.requests == 0 {
            return Err(format!(
                "{}: of {} answers {} were refusals, {} requests broke: nothing to measure",
                self.url, summary.requests, summary.refused, summary.broken
            )
            .into());
        }
        let (requests, micros) = (float(summary.requests), float(summary.micros));
        Ok(Measured {
            cpu_micros: spent.as_secs_f64() * 1e6 / requests,
            busy: spent.as_secs_f64() * 1e6 / micros,
            rate: requests * 1e6 / micros,
            p50: float(summary.p50),
            p99: float(summary.p99),
            bytes: float(summary.bytes) / requests,
            requests: summary.requests,
        })
    }

    /// The command as one would type it, without credentials.
    pub(crate) fn line(&self, duration: Duration) -> String {
        let mut line = format!("wrk -t1 -c{} -d{}s", self.connections, duration.as_secs());
        line.push_str(" --timeout 10s -s benches/src/load.lua");
        if let Some(authorization) = &self.authorization {
            let scheme = authorization.split(' ').next().unwrap_or_default();
            let _ = write!(line, " -H 'Authorization: {scheme} …'");
        }
        let path = url::Url::parse(&self.url).map(|url| {
            let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
            format!("{}{query}", url.path())
        });
        let _ = write!(line, " 'https://localhost:PORT{}'", path.unwrap_or_default());
        if self.bodies.is_some() {
            line.push_str(" -- FORMS");
        }
        line
    }
}

fn cpu(processes: &[Process]) -> Outcome<Duration> {
    processes.iter().map(Process::cpu).sum()
}

/// For counts far below 2^53.
#[allow(clippy::cast_precision_loss, reason = "counts of one run are far below 2^53")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}
