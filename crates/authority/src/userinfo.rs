//! The userinfo endpoint (OpenID Connect Core §5.3): the claims that the token's scopes name, about
//! its own person, recorded before they leave.

use domain::scope::PlainScope;
use domain::{Kind, Outcome, Reject, Secret};
use identity::{Caller, Refusal};
use ledger::{Body, Entry};
use serde_json::{Value, json};

use crate::Authority;
use crate::introspection::about;

impl Authority {
    /// The claims of the person behind an access token with `openid`, whatever its audience.
    ///
    /// # Errors
    /// [`Refusal`], recorded: RFC 6750 §3.1 codes.
    pub async fn userinfo(
        &self,
        token: Result<Secret<String>, Reject>,
        caller: &Caller,
    ) -> Result<Value, Refusal> {
        let kind = Kind::UserInfoRead;
        let claims = match token {
            Ok(token) => self.live_access_token(&token).await?,
            Err(reject) => Err(reject),
        };
        let claims = match claims {
            Ok(claims) => claims,
            Err(reject) => return Err(self.refuse(caller, kind, reject).await),
        };
        let body =
            Body { interaction: Some("userinfo".to_owned()), ..about(&claims, caller.body()) };
        let person = match claims.sub.person() {
            Some(person) if claims.scope.has(PlainScope::OpenId) => {
                self.parts.store.person(person).await?
            }
            _ => None,
        };
        let Some(person) = person else {
            return Err(self.refuse_with(kind, Reject::ScopeInsufficient, body).await);
        };
        let mut answer = json!({ "sub": person.id.as_str() });
        if let Some(members) = answer.as_object_mut() {
            if claims.scope.has(PlainScope::Profile) {
                members.insert("name".into(), person.display_name.expose().as_str().into());
            }
            if claims.scope.has(PlainScope::FhirUser)
                && let Some(url) = self.fhir_user(&person)
            {
                members.insert("fhirUser".into(), url.into());
            }
        }
        let entry = Entry { kind, outcome: Outcome::Success, body };
        self.parts.ledger.append(vec![entry]).await?;
        Ok(answer)
    }
}
