//! Brings checkpoints to the witnesses.

use std::sync::Arc;
use std::time::Duration;

use ledger::note::VerifierKey;
use ledger::witness::{Carrier, Follower, HttpCarrier, Policy};
use outbound::{Client, Limits, Options, Origin, PeerPolicy};
use tokio::task::JoinHandle;
use web::metrics::Gauge;

use super::Context;
use crate::clock::SystemClock;
use crate::config::WitnessConfig;
use crate::failure::Failure;
use crate::system;

/// How often it is looked whether there is a new checkpoint.
const LOOK: Duration = Duration::from_secs(1);

/// Starts the task, if the configuration asks for it.
pub(super) fn start(context: &Context) -> Vec<JoinHandle<()>> {
    let config = &context.config.ledger;
    if config.witnesses.is_empty() {
        return Vec::new();
    }
    // They were tried when the configuration was checked; a file can vanish in between.
    let witnesses: Vec<_> = match config.witnesses.iter().map(carrier).collect() {
        Ok(witnesses) => witnesses,
        Err(failure) => {
            let failure: Failure = failure;
            tracing::error!(reason = failure.message(), "no witness can be asked");
            context.ledger.suspend("witnesses", "no witness can be asked");
            return Vec::new();
        }
    };
    let policy = Policy {
        quorum: usize::try_from(config.quorum).unwrap_or(usize::MAX),
        max_lag: Duration::from_secs(u64::try_from(config.witness_lag.max_secs).unwrap_or(0)),
        stops: config.witness_lag.stops,
    };
    let follower = Follower::new(
        context.ledger.clone(),
        config.dir.clone(),
        witnesses,
        policy,
        Arc::new(SystemClock),
    );
    vec![tokio::spawn(follow(follower, context.clone()))]
}

async fn follow(mut follower: Follower, context: Context) {
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let followed = follower.turn().await;
        let metrics = context.web.metrics();
        metrics.set(Gauge::WitnessedSize, followed.size);
        metrics.set(Gauge::WitnessesCosigned, followed.cosigned as u64);
        metrics.set(Gauge::WitnessLag, u64::try_from(followed.lag_ms / 1000).unwrap_or(0));
        metrics.set(Gauge::WitnessesBehind, u64::from(followed.behind));
    }
}

/// How a witness is reached. Also tells `system` before anything is served whether it can be.
pub(crate) fn carrier(witness: &WitnessConfig) -> Result<(VerifierKey, Arc<dyn Carrier>), Failure> {
    let wrong = |what: &dyn std::fmt::Display| {
        Failure::usage(format!("ledger.witness {}: {what}", witness.url))
    };
    let origin = Origin::of(&witness.url).map_err(|error| wrong(&error))?;
    let extra_roots = match &witness.ca {
        Some(path) => system::certificates(path)?,
        None => Vec::new(),
    };
    let client = Client::new(Options {
        extra_roots,
        limits: Limits { body: 64 * 1024, ..Limits::default() },
        ..Options::new(PeerPolicy::ExactOrigin(origin))
    })
    .map_err(|error| wrong(&error))?;
    let carrier: Arc<dyn Carrier> = Arc::new(HttpCarrier::new(client, &witness.url));
    Ok((witness.key.clone(), carrier))
}
