//! Receipts, for clients that ask for them at registration: a handle on every answer that was recorded,
//! and the proof that its records stand in the ledger. A handle has one length, shows neither number nor
//! kind, and opens for the client, person and grant it was given to, and for nobody else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{Kind, Reject};
use http::{HeaderName, HeaderValue};
use keys::access_token::AccessTokenClaims;
use keys::seal::{NONCE_LEN, SealKey, TAG_LEN, open_random, seal_random};
use keys::{KeyFault, Random};
use ledger::{Ledger, Position, ReceiptFault};

use crate::record::Story;
use crate::serve::Stop;
use crate::{Gateway, GatewayRequest, GatewayResponse, answer};

const AUDIT_RECEIPT: HeaderName = HeaderName::from_static("audit-receipt");
const VERSION: u8 = 1;
/// Records that one request proves.
const PROVEN: usize = 64;
const TEXT_LEN: usize = 1 + 8 + 8 + 2;
/// The length of every handle, in base64url without padding.
const HANDLE_LEN: usize = ((NONCE_LEN + TEXT_LEN + TAG_LEN) * 4).div_ceil(3);

/// Where the records of one answer stand: they follow one another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handle {
    /// The first one's sequence number.
    pub seq: u64,
    /// The first one's leaf.
    pub leaf: u64,
    /// How many there are.
    pub count: u16,
}

impl Handle {
    /// Of what was recorded for one answer.
    fn of(positions: &[Position]) -> Option<Self> {
        let (first, last) = (positions.first()?, positions.last()?);
        let more = last.seq.saturating_sub(first.seq);
        let count = u16::try_from(more).unwrap_or(u16::MAX).saturating_add(1);
        Some(Self { seq: first.seq, leaf: first.leaf, count })
    }

    /// The text that the client is given.
    ///
    /// # Errors
    /// [`KeyFault`] if there is no randomness.
    pub fn seal(
        &self,
        key: &SealKey,
        random: &dyn Random,
        holder: &str,
    ) -> Result<String, KeyFault> {
        let mut text = Vec::with_capacity(TEXT_LEN);
        text.push(VERSION);
        text.extend_from_slice(&self.seq.to_be_bytes());
        text.extend_from_slice(&self.leaf.to_be_bytes());
        text.extend_from_slice(&self.count.to_be_bytes());
        Ok(URL_SAFE_NO_PAD.encode(seal_random(key, random, holder.as_bytes(), &text)?))
    }

    /// Opens a handle; whatever is wrong with it, there is no such receipt.
    pub fn open(handle: &str, key: &SealKey, holder: &str) -> Option<Self> {
        if handle.len() != HANDLE_LEN {
            return None;
        }
        let sealed = URL_SAFE_NO_PAD.decode(handle).ok()?;
        let text = open_random(key, holder.as_bytes(), &sealed).ok()?;
        let (version, rest) = text.split_first()?;
        let (seq, rest) = rest.split_first_chunk()?;
        let (leaf, count) = rest.split_first_chunk()?;
        let count = u16::from_be_bytes(count.try_into().ok()?);
        let handle = Self { seq: u64::from_be_bytes(*seq), leaf: u64::from_be_bytes(*leaf), count };
        (*version == VERSION && count > 0).then_some(handle)
    }

    fn places(&self) -> Vec<(u64, u64)> {
        let each = |n| (self.seq.saturating_add(n), self.leaf.saturating_add(n));
        (0..u64::from(self.count)).take(PROVEN).map(each).collect()
    }
}

/// Whom a handle opens for, and in which ledger: of several nodes, each has one of its own, and a number
/// is another record there. None of the parts holds a line break.
pub(crate) fn holder(claims: &AccessTokenClaims, ledger: &Ledger) -> String {
    let grant = claims.grant.as_ref().map_or("", |grant| grant.as_str());
    let (client, subject) = (claims.client_id.as_str(), claims.sub.as_str());
    let log = ledger.verifier_key().name();
    format!("phiward receipt v1\n{log}\n{client}\n{subject}\n{grant}")
}

impl Gateway {
    /// Puts the receipt on an answer that was recorded, if its client asks for receipts.
    pub(crate) fn receipt(
        &self,
        story: &Story,
        positions: &[Position],
        response: &mut GatewayResponse,
    ) {
        let (Some(holder), Some(handle)) = (story.holder(), Handle::of(positions)) else { return };
        let sealed = handle.seal(&self.parts.receipt_key, &*self.parts.random, holder);
        match sealed.ok().and_then(|sealed| HeaderValue::try_from(sealed).ok()) {
            Some(value) => drop(response.headers.insert(AUDIT_RECEIPT, value)),
            None => tracing::error!("a receipt could not be sealed"),
        }
    }

    /// Answers `/ledger/proof/<handle>`; the request's path is the handle. A refusal is recorded; a
    /// proof is not, for it says nothing about anybody.
    pub async fn proof(&self, request: GatewayRequest<'_>) -> GatewayResponse {
        let mut story = Story::new(&request);
        let reject = match Box::pin(self.proof_of(&request, &mut story)).await {
            Ok(response) => return response,
            Err(Stop::Refused(reject)) => {
                let mut entry = story.denied(reject, reject.status());
                entry.kind = Kind::LedgerRead;
                self.parts.ledger.refused(entry, reject).await.into_inner()
            }
            Err(Stop::Fault) => {
                let mut entry = story.failed(Reject::LedgerUnavailable.status());
                entry.kind = Kind::LedgerRead;
                if let Err(fault) = self.parts.ledger.append(vec![entry]).await {
                    tracing::error!(%fault, "a fault could not be recorded");
                }
                Reject::LedgerUnavailable
            }
        };
        answer::problem(reject, &self.parts.settings.resource_metadata, &request.correlation)
    }

    async fn proof_of(
        &self,
        request: &GatewayRequest<'_>,
        story: &mut Story,
    ) -> Result<GatewayResponse, Stop> {
        let verified = self.verify(request, story).await?;
        let holder = holder(&verified.claims, &self.parts.ledger);
        let handle = Handle::open(request.path, &self.parts.receipt_key, &holder);
        let handle = handle.ok_or(Reject::OutOfReach)?;
        let proof =
            self.parts.ledger.prove(handle.places()).await.map_err(|fault| match fault {
                ReceiptFault::Busy => Stop::Refused(Reject::RateLimited),
                ReceiptFault::Ledger(fault) => fault.into(),
                ReceiptFault::Proof(error) => {
                    tracing::error!(%error, "a receipt could not be proven");
                    Stop::Fault
                }
            })?;
        let body = serde_json::to_vec(&proof).map_err(|_| Stop::Fault)?;
        Ok(answer::json(body.into(), &request.correlation))
    }
}

#[cfg(test)]
mod tests {
    use keys::SystemRandom;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_handle_has_one_length_and_opens_for_its_holder_only(
            seq: u64, leaf: u64, count in 1..=u16::MAX, bit in 0..HANDLE_LEN * 6,
        ) {
            let key = SealKey::new(&[7; 32]).unwrap();
            let handle = Handle { seq, leaf, count };
            let text = handle.seal(&key, &SystemRandom, "amina").unwrap();
            prop_assert_eq!(text.len(), HANDLE_LEN);
            prop_assert_eq!(Handle::open(&text, &key, "amina"), Some(handle));
            prop_assert_eq!(Handle::open(&text, &key, "brook"), None);
            let other = SealKey::new(&[8; 32]).unwrap();
            prop_assert_eq!(Handle::open(&text, &other, "amina"), None);
            let mut bent = text.into_bytes();
            bent[bit / 6] = if bent[bit / 6] == b'A' { b'B' } else { b'A' };
            let bent = String::from_utf8(bent).unwrap();
            prop_assert_eq!(Handle::open(&bent, &key, "amina"), None);
        }

        #[test]
        fn no_text_opens(text: String) {
            let key = SealKey::new(&[7; 32]).unwrap();
            prop_assert_eq!(Handle::open(&text, &key, ""), None);
        }
    }
}
