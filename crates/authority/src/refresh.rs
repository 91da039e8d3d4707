//! Refresh tokens (RFC 6749 §6; RFC 9700 §2.2.2, §4.14). Public clients rotate: each use spends the
//! token and makes its successor in one transaction, a second use ends the family. Confidential
//! clients keep theirs, bound to their authentication. There is no grace: a retry after a lost answer
//! counts as reuse.

use domain::{GrantType, Refresh, Reject, Secret};
use identity::{Caller, Fault, Refusal};
use keys::opaque::{Opaque, OpaqueKind};
use store::RefreshUse;

use crate::Authority;
use crate::client_authentication::{AuthenticatedClient, PresentedCredentials};
use crate::mint::{ActivePrincipal, LiveGrant, Occasion, SenderBinding};
use crate::token::{Narrowing, TokenResponse};

impl Authority {
    pub(crate) async fn refresh(
        &self,
        client: &AuthenticatedClient,
        token: &Secret<String>,
        asked: &Narrowing,
        caller: &Caller,
    ) -> Result<TokenResponse, Refusal> {
        let parts = &self.parts;
        let now = parts.clock.now();
        let Some(presented) = Opaque::parse(OpaqueKind::Refresh, token.expose()) else {
            return Err(self.refused(client, None, Reject::RefreshUnknown, caller).await);
        };
        let hash = parts.hash_key.hash(&presented);
        let Some(known) = parts.store.refresh(&hash).await? else {
            return Err(self.refused(client, None, Reject::RefreshUnknown, caller).await);
        };
        if known.client != *client.id() {
            // Another client's token: its family must not suffer (attack C6).
            return Err(self.refused(client, None, Reject::GrantClientMismatch, caller).await);
        }
        let grant_id = known.grant.clone();
        // Judged before the token is spent, so that a request that asks too much costs nothing; a
        // token already spent goes straight to the statement that says so.
        let grant = parts.store.grant(&grant_id).await?;
        let live = match LiveGrant::consumed(grant, now) {
            Ok(live) => live,
            Err(reject) => return Err(self.refused(client, Some(&grant_id), reject, caller).await),
        };
        let LiveGrant::Consumed(grant) = &live else { return Err(Fault::Store.into()) };
        let person = parts.store.person(&grant.person).await?;
        let principal = match ActivePrincipal::of(grant, person) {
            Ok(principal) => principal,
            Err(reject) => {
                self.end_grant(&grant_id, reject, caller).await?;
                return Err(self.refused(client, Some(&grant_id), reject, caller).await);
            }
        };
        let scope = match self.narrowed(grant, client, &principal, asked) {
            Ok(scope) => scope,
            Err(reject) if !known.spent => {
                return Err(self.refused(client, Some(&grant_id), reject, caller).await);
            }
            Err(_) => return Err(self.reused(client, &grant_id, caller).await?),
        };
        let (used, successor) = match client.client().refresh() {
            Refresh::Rotate => {
                let successor = Opaque::generate(OpaqueKind::Refresh, &*parts.random)?;
                let new = self.new_refresh(&successor, grant, known.generation + 1, now);
                (parts.store.rotate_refresh(&hash, client.id(), now, &new).await?, Some(successor))
            }
            Refresh::Bound => {
                let idle = now.plus_secs(self.settings.refresh_idle_secs).min(grant.expires);
                (parts.store.touch_refresh(&hash, client.id(), now, idle).await?, None)
            }
        };
        match used {
            RefreshUse::Used(_) => {}
            RefreshUse::Reused(grant) => return Err(self.reused(client, &grant, caller).await?),
            refused => {
                let reject = match refused {
                    RefreshUse::Expired => Reject::RefreshExpired,
                    RefreshUse::OtherClient => Reject::GrantClientMismatch,
                    RefreshUse::Withdrawn => Reject::PrincipalInactive,
                    _ => Reject::RefreshUnknown,
                };
                return Err(self.refused(client, Some(&grant_id), reject, caller).await);
            }
        }
        let occasion = Occasion {
            grant_type: GrantType::RefreshToken,
            audience: &grant.audience,
            nonce: None,
            refresh_token: successor,
        };
        let minted =
            self.mint(client, &live, scope, SenderBinding::Bearer, &principal, occasion)?;
        self.release(minted, caller).await
    }

    /// Who a refresh request without any client is from: the client of its token. SMART App Launch 2.2
    /// has public apps send the token alone, and RFC 6749 §6 asks no `client_id` of them. A client that
    /// has credentials is then refused as one that showed none.
    pub(crate) async fn holder_of(
        &self,
        token: &Secret<String>,
    ) -> Result<PresentedCredentials, Fault> {
        let Some(presented) = Opaque::parse(OpaqueKind::Refresh, token.expose()) else {
            return Ok(PresentedCredentials::Nothing);
        };
        let hash = self.parts.hash_key.hash(&presented);
        let known = self.parts.store.refresh(&hash).await?;
        Ok(known.map_or(PresentedCredentials::Nothing, |known| {
            PresentedCredentials::Bare(known.client.as_str().to_owned())
        }))
    }

    /// A spent generation came back: the family ends (attack R3).
    async fn reused(
        &self,
        client: &AuthenticatedClient,
        grant: &domain::GrantId,
        caller: &Caller,
    ) -> Result<Refusal, Fault> {
        self.end_grant(grant, Reject::RefreshReused, caller).await?;
        Ok(self.refused(client, Some(grant), Reject::RefreshReused, caller).await)
    }
}
