//! What the machine can do at most, on one core, in this run: sign and verify ES256, and make an
//! appended block durable.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use keys::Algorithm;
use keys::signing::SigningKey;

use crate::Outcome;

/// About what the signed part of an access token measures.
const MESSAGE: [u8; 512] = [0x61; 512];
/// How much is appended before each sync.
const BLOCK: [u8; 4096] = [0x62; 4096];

/// What one core can do in a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raw {
    /// ES256 signatures, by the product's own `keys`.
    pub(crate) sign: f64,
    /// ES256 verifications, by the library below it.
    pub(crate) verify: f64,
}

/// Measures for `duration` each.
pub(crate) fn measure(duration: Duration) -> Outcome<Raw> {
    let key = SigningKey::generate(Algorithm::Es256)?;
    let sign = rate(duration, || Ok(key.sign(&MESSAGE).map(drop)?))?;
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
    let signature = pair.sign(&SystemRandom::new(), &MESSAGE)?;
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref());
    let verify = rate(duration, || Ok(public.verify(&MESSAGE, signature.as_ref())?))?;
    Ok(Raw { sign, verify })
}

/// The microseconds that each 4 KiB append + fdatasync took, one at a time for `duration`, on the
/// disk of `folder`.
pub(crate) fn syncs(folder: &Path, duration: Duration) -> Outcome<Vec<f64>> {
    let path = folder.join("sync-probe");
    let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
    let begun = Instant::now();
    let mut each = Vec::new();
    while begun.elapsed() < duration {
        let before = Instant::now();
        file.write_all(&BLOCK)?;
        rustix::fs::fdatasync(file.as_fd())?;
        each.push(before.elapsed().as_secs_f64() * 1e6);
    }
    std::fs::remove_file(&path)?;
    Ok(each)
}

fn rate(duration: Duration, mut work: impl FnMut() -> Outcome<()>) -> Outcome<f64> {
    let begun = Instant::now();
    let mut done = 0_u32;
    while begun.elapsed() < duration {
        work()?;
        done += 1;
    }
    Ok(f64::from(done) / begun.elapsed().as_secs_f64())
}
