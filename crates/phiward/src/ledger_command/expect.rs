//! Checkpoints from outside, for `verify`: from a file or a URL, and whose cosignatures they must carry.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;
use http::Request;
use ledger::Trouble;
use ledger::note::VerifierKey;
use ledger::verify::VerifyOptions;
use outbound::{Client, Limits, Options, Origin, PeerPolicy};

use super::read_file;
use crate::failure::Failure;
use crate::{runtime, system};

/// What the checkpoints expected must carry, and how they are fetched.
#[derive(Debug, Args)]
pub(crate) struct ExpectArgs {
    /// A witness's public key, or a file with it; may repeat. Each checkpoint expected must carry the
    /// cosignatures of --quorum of them.
    #[arg(long, value_name = "VKEY")]
    witness: Vec<String>,
    /// How many of them; without it, all.
    #[arg(long, value_name = "N", requires = "witness")]
    quorum: Option<usize>,
    /// PEM certificate authority for an --expect URL, beside the web's.
    #[arg(long, value_name = "FILE")]
    expect_ca: Option<PathBuf>,
}

impl ExpectArgs {
    /// Puts the checkpoints and the witnesses into the options.
    pub(super) fn apply(
        &self,
        expect: &[String],
        options: &mut VerifyOptions,
    ) -> Result<(), Failure> {
        options.witnesses =
            self.witness.iter().map(|text| witness_key(text)).collect::<Result<_, _>>()?;
        options.quorum = self.quorum.unwrap_or(options.witnesses.len());
        if self.quorum.is_some_and(|quorum| quorum == 0 || quorum > options.witnesses.len()) {
            return Err(Failure::usage("--quorum must be between 1 and the number of --witness"));
        }
        for what in expect {
            let text = match what.contains("://") {
                true => fetch(what, self.expect_ca.as_deref())?,
                false => read_file(what.as_ref())?,
            };
            options.expectations.push(text);
        }
        Ok(())
    }
}

fn witness_key(text: &str) -> Result<VerifierKey, Failure> {
    let key = match VerifierKey::parse(text) {
        Ok(key) => Ok(key),
        Err(_) => VerifierKey::parse(read_file(Path::new(text))?.trim()),
    };
    key.ok().filter(VerifierKey::is_cosigner).ok_or_else(|| {
        Failure::trouble(
            Trouble::ForeignKey,
            "--witness: not a witness's verifier key; `phiward ledger witness` prints it",
        )
    })
}

/// Fetches a note from where it is kept.
fn fetch(url: &str, ca: Option<&Path>) -> Result<String, Failure> {
    let wrong = |what: &dyn std::fmt::Display| Failure::usage(format!("--expect {url}: {what}"));
    let origin = Origin::of(url).map_err(|error| wrong(&error))?;
    let extra_roots = ca.map_or_else(|| Ok(Vec::new()), system::certificates)?;
    let client = Client::new(Options {
        extra_roots,
        limits: Limits { body: 64 * 1024, ..Limits::default() },
        ..Options::new(PeerPolicy::ExactOrigin(origin))
    })
    .map_err(|error| wrong(&error))?;
    let request = Request::get(url).body(Bytes::new()).map_err(|error| wrong(&error))?;
    let unreachable = |what: &dyn std::fmt::Display| {
        Failure::trouble(Trouble::Unreachable, format!("--expect {url}: {what}"))
    };
    let mut text = String::new();
    runtime(async {
        let response = client.fetch(request).await.map_err(|error| unreachable(&error))?;
        if !response.status().is_success() {
            return Err(unreachable(&format!("answers with status {}", response.status())));
        }
        text = String::from_utf8(response.body().to_vec())
            .map_err(|_| Failure::trouble(Trouble::ForeignCheckpoint, "--expect: not a text"))?;
        Ok(())
    })?;
    Ok(text)
}
