//! Copies closed segments and checkpoints to locked storage, and asks once a day whether every copy is
//! still there and locked. If the copy lags behind by more than the configuration allows, it warns or
//! suspends the ledger; whoever writes to the ledger otherwise never waits for it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use domain::{Clock, Kind, Secret};
use ledger::worm::{
    self, ArchiveError, ArchiveOptions, Archiver, BULK, Bucket, BucketOptions, SMALL,
};
use ledger::{Body, Gap, GapKind};
use outbound::{Client, Limits, Options, Origin, PeerPolicy};
use tokio::task::JoinHandle;
use web::metrics::Gauge;

use super::Context;
use crate::clock::SystemClock;
use crate::config::{LagConfig, WormConfig};
use crate::failure::Failure;
use crate::system::certificates;

/// What the ledger says while it waits; also how this task knows its own suspension.
const WHO: &str = "the locked copy";
const REASON: &str = "the locked copy lags behind";
/// How often is looked for something new to copy, at most.
const PASS_EVERY: Duration = Duration::from_secs(5);
/// How often a checkpoint is copied, at most.
const NOTE_EVERY: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const CHECK_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// After a check that did not reach the bucket.
const CHECK_AGAIN: Duration = Duration::from_secs(10 * 60);
/// Findings of one check that get a record each.
const RECORDED: usize = 100;

/// Starts the task, if the configuration asks for it.
pub(super) fn start(context: &Context) -> Vec<JoinHandle<()>> {
    let Some(worm) = context.config.ledger.worm.clone() else { return Vec::new() };
    let status = Arc::new(Status::default());
    vec![
        tokio::spawn(copy(context.clone(), worm.clone(), Arc::clone(&status))),
        tokio::spawn(judge(context.clone(), worm.lag, Arc::clone(&status))),
        tokio::spawn(check(context.clone(), status)),
    ]
}

/// How the copying stands.
#[derive(Default)]
struct Status {
    /// When nothing was left to copy, in milliseconds; 0 before the first attempt ended.
    current_at: AtomicI64,
    /// The bucket, once it was reached.
    bucket: OnceLock<Arc<Bucket>>,
}

/// The configured bucket, not yet asked anything.
pub(crate) fn bucket(worm: &WormConfig) -> Result<Bucket, Failure> {
    let wrong = |what: &dyn std::fmt::Display| Failure::usage(format!("[ledger.worm] {what}"));
    let secret = |path| -> Result<String, Failure> {
        let bytes = keys::key_file::read(path).map_err(|error| wrong(&error))?;
        let text = std::str::from_utf8(bytes.expose());
        let text = text.map_err(|_| wrong(&format!("{} is not text", path.display())))?;
        Ok(text.trim().to_owned())
    };
    let origin =
        Origin::of(&worm.endpoint).map_err(|error| wrong(&format!("endpoint: {error}")))?;
    let extra_roots = worm.ca.as_deref().map(certificates).transpose()?.unwrap_or_default();
    let client = |limits: Limits| {
        let policy = PeerPolicy::ExactOrigin(origin.clone());
        Client::new(Options { extra_roots: extra_roots.clone(), limits, ..Options::new(policy) })
            .map_err(|error| wrong(&error))
    };
    Bucket::new(BucketOptions {
        endpoint: worm.endpoint.clone(),
        bucket: worm.bucket.clone(),
        region: worm.region.clone(),
        access_key: secret(&worm.access_key)?,
        secret_key: Secret::new(secret(&worm.secret_key)?),
        small: client(SMALL)?,
        bulk: client(BULK)?,
        clock: Arc::new(SystemClock),
    })
    .map_err(|error| wrong(&error))
}

fn retention(context: &Context) -> Duration {
    Duration::from_secs(u64::from(context.config.ledger.retention_days).saturating_mul(86_400))
}

fn options(context: &Context, worm: &WormConfig, bucket: Arc<Bucket>) -> ArchiveOptions {
    ArchiveOptions {
        bucket,
        dir: context.config.ledger.dir.clone(),
        keys_dir: context.config.ledger_keys(),
        prefix: worm.prefix.clone(),
        retention: retention(context),
        note_every: NOTE_EVERY.min(share(worm.lag)),
        clock: Arc::new(SystemClock),
    }
}

/// What may pass between two looks, so that the copy never lags for want of looking.
fn share(lag: LagConfig) -> Duration {
    Duration::from_secs(u64::try_from(lag.max_secs).unwrap_or(u64::MAX)) / 3
}

async fn copy(context: Context, config: WormConfig, status: Arc<Status>) {
    let mut archiver = None;
    let mut failures: u32 = 0;
    let mut unfit: Vec<u32> = Vec::new();
    loop {
        let done = attempt(&context, &config, &status, &mut archiver).await;
        let pause = match done {
            Ok(pass) => {
                if failures > 0 {
                    tracing::info!("the locked copy goes on");
                }
                failures = 0;
                for segment in &pass.segments {
                    tracing::info!(segment, "a segment was copied to the locked bucket");
                }
                for segment in pass.unfit.iter().filter(|segment| !unfit.contains(segment)) {
                    tracing::error!(
                        segment,
                        "a closed segment does not fit the log and is not copied; run `phiward ledger verify`"
                    );
                }
                unfit = pass.unfit;
                if pass.current {
                    status.current_at.store(SystemClock.now().millis(), Ordering::Relaxed);
                }
                PASS_EVERY.min(share(config.lag))
            }
            Err(error) => {
                // Said once, and now and then while it lasts.
                if failures.is_multiple_of(20) {
                    tracing::error!(error = %error.message(), "the locked copy does not go on");
                }
                failures = failures.saturating_add(1);
                Duration::from_secs(1_u64 << failures.min(6)).min(LONGEST_PAUSE)
            }
        };
        // Judged from the first attempt on: what an earlier process copied counts.
        if status.current_at.load(Ordering::Relaxed) == 0 {
            let newest = worm::newest(&context.config.ledger_keys());
            let since = newest.unwrap_or_else(|| SystemClock.now());
            status.current_at.store(since.millis().max(1), Ordering::Relaxed);
        }
        tokio::time::sleep(pause).await;
    }
}

async fn attempt(
    context: &Context,
    worm: &WormConfig,
    status: &Status,
    archiver: &mut Option<Archiver>,
) -> Result<worm::Pass, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::check(error.to_string());
    if archiver.is_none() {
        // Read anew each time until it works: whoever mends a key file need not restart.
        let bucket = Arc::new(bucket(worm)?);
        let options = options(context, worm, bucket);
        let opened = tokio::task::spawn_blocking(move || Archiver::open(options));
        *archiver = Some(opened.await.map_err(|e| failed(&e))?.map_err(|e| failed(&e))?);
    }
    let Some(archiver) = archiver else { return Err(Failure::internal()) };
    let pass = archiver.pass(&context.ledger).await;
    let pass = pass.map_err(|error: ArchiveError| failed(&error))?;
    status.bucket.get_or_init(|| archiver.bucket());
    Ok(pass)
}

/// Warns or suspends when the copy lags too far behind, and ends that when it has caught up.
async fn judge(context: Context, lag: LagConfig, status: Arc<Status>) {
    let ledger = &context.ledger;
    let mut turn = tokio::time::interval(Duration::from_secs(1));
    let mut late = false;
    loop {
        turn.tick().await;
        let current_at = status.current_at.load(Ordering::Relaxed);
        if current_at == 0 {
            continue;
        }
        let behind = SystemClock.now().millis().saturating_sub(current_at) / 1000;
        context.web.metrics().set(Gauge::WormLag, u64::try_from(behind).unwrap_or(0));
        if behind > lag.max_secs {
            if !late {
                let allowed = lag.max_secs;
                tracing::warn!(behind, allowed, "the locked copy lags behind, in seconds");
            }
            late = true;
            if lag.stops {
                ledger.suspend(WHO, REASON);
            }
        } else {
            if late {
                tracing::info!("the locked copy has caught up");
            }
            late = false;
            ledger.resume(WHO);
        }
    }
}

/// Asks for every copy, at start and then daily.
async fn check(context: Context, status: Arc<Status>) {
    let bucket = loop {
        match status.bucket.get() {
            Some(bucket) => break Arc::clone(bucket),
            None => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    };
    loop {
        let pause = match check_once(&context, &bucket).await {
            Ok(true) => CHECK_EVERY,
            Ok(false) => CHECK_AGAIN,
            Err(failure) => {
                tracing::error!(error = %failure.message(), "the locked copies were not checked");
                CHECK_AGAIN
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Whether every copy was asked for.
async fn check_once(context: &Context, bucket: &Arc<Bucket>) -> Result<bool, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::check(error.to_string());
    let (dir, keys_dir) = (context.config.ledger.dir.clone(), context.config.ledger_keys());
    let read = tokio::task::spawn_blocking(move || worm::all_copies(&dir, &keys_dir));
    let copies = read.await.map_err(|e| failed(&e))?.map_err(|e| failed(&e))?;
    let now = SystemClock.now();
    let mut gaps = worm::check(bucket, &copies, now, &mut |_| {}).await;
    // One a day, in turn, is read whole: what is stored may rot behind a lock, too.
    let day = usize::try_from(now.secs() / 86_400).unwrap_or(0);
    if let Some(copy) = copies.get(day.checked_rem(copies.len()).unwrap_or(0))
        && copy.retain_until > now
    {
        gaps.extend(worm::read_whole(bucket, copy).await);
    }
    let reached = gaps.iter().all(|gap| gap.kind != GapKind::WormUncompared);
    for gap in &gaps {
        tracing::error!(kind = gap.kind.id(), finding = %gap, "the locked copy");
    }
    context.web.metrics().set(Gauge::WormFindings, gaps.len() as u64);
    tracing::info!(copies = copies.len(), findings = gaps.len(), "the locked copies were checked");
    let told = |error: ledger::LedgerFault| failed(&error);
    for gap in gaps.iter().take(RECORDED) {
        context.ledger.append_open(Kind::CopyChecked, &finding(gap)).await.map_err(told)?;
    }
    if reached {
        let body = Body {
            count: u32::try_from(copies.len()).ok(),
            detail: Some(
                if gaps.is_empty() { "all are there and locked" } else { "see findings" }.into(),
            ),
            ..Body::default()
        };
        context.ledger.append_open(Kind::CopyChecked, &body).await.map_err(told)?;
    }
    Ok(reached)
}

fn finding(gap: &Gap) -> Body {
    Body {
        segment: gap.place.segment,
        detail: Some(gap.kind.id().to_owned()),
        object: gap.detail.split(' ').next().filter(|name| name.contains('/')).map(str::to_owned),
        ..Body::default()
    }
}
