//! Registering clients and people: the rules that a registration can break, the secrets it makes, and
//! its record. Everything that changes who may do what passes through here.

use domain::scope::Context;
use domain::{
    Client, ClientAuthentication, ClientDraft, ClientId, FhirId, GrantType, Kind, Outcome,
    PasswordException, Person, PersonId, PersonRole, Phi, ResourceType, Secret, Username,
};
use identity::Fault;
use keys::jwk::JwkSet;
use keys::opaque::{Opaque, OpaqueKind};
use ledger::{Body, Entry};

use crate::Authority;

/// Why something was not registered or changed. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RegistrarError {
    /// A rule of registration is broken.
    #[error("{0}")]
    Rule(&'static str),
    /// The name is taken.
    #[error("`{0}` exists already")]
    Exists(String),
    /// There is nothing of this name.
    #[error("there is no `{0}`")]
    Unknown(String),
    /// Something of ours failed.
    #[error(transparent)]
    Fault(Fault),
}

impl<F: Into<Fault>> From<F> for RegistrarError {
    fn from(fault: F) -> Self {
        Self::Fault(fault.into())
    }
}

/// A client to register. With [`ClientAuthentication::Secret`] the hash is filled in here.
#[derive(Clone, Debug)]
pub struct NewClient {
    /// What its owner decided.
    pub draft: ClientDraft,
}

/// A registered client and, once, its secret.
#[derive(Debug)]
pub struct RegisteredClient {
    /// `client_id`.
    pub id: ClientId,
    /// Shown now and never again.
    pub secret: Option<Opaque>,
}

/// A person to add.
#[derive(Debug)]
pub struct NewPerson {
    /// What they sign in with.
    pub username: Username,
    /// The name shown to themselves.
    pub display_name: Phi<String>,
    /// What they are to the records.
    pub role: PersonRole,
    /// Their own Patient resource.
    pub own_record: Option<FhirId>,
    /// The patients they act or care for, with names to choose by.
    pub acts_for: Vec<(FhirId, Phi<String>)>,
    /// Their own FHIR resource.
    pub fhir_user: Option<(ResourceType, FhirId)>,
    /// The first password.
    pub password: Secret<String>,
}

impl Authority {
    /// Registers a client.
    ///
    /// # Errors
    /// [`RegistrarError`] names the broken rule; nothing was changed.
    pub async fn register_client(
        &self,
        new: NewClient,
        actor: &str,
    ) -> Result<RegisteredClient, RegistrarError> {
        let mut draft = new.draft;
        check(&draft).map_err(RegistrarError::Rule)?;
        let secret = match &mut draft.authentication {
            ClientAuthentication::Secret { hash } => {
                let secret = Opaque::generate(OpaqueKind::ClientSecret, &*self.parts.random)?;
                *hash = self.parts.hash_key.hash(&secret).to_string();
                Some(secret)
            }
            _ => None,
        };
        if !self.parts.store.insert_client(&draft, self.parts.clock.now()).await? {
            return Err(RegistrarError::Exists(draft.id.to_string()));
        }
        self.record_change(actor, Some(draft.id.clone()), None, "client added").await?;
        Ok(RegisteredClient { id: draft.id, secret })
    }

    /// Every client, by id.
    ///
    /// # Errors
    /// [`RegistrarError::Fault`].
    pub async fn clients(&self) -> Result<Vec<Client>, RegistrarError> {
        Ok(self.parts.store.clients().await?)
    }

    /// Disables a client; what it holds is refused from now on.
    ///
    /// # Errors
    /// [`RegistrarError::Unknown`] or a fault.
    pub async fn disable_client(&self, id: &ClientId, actor: &str) -> Result<(), RegistrarError> {
        let now = self.parts.clock.now();
        if !self.parts.store.set_client_disabled(id, Some(now)).await? {
            return Err(RegistrarError::Unknown(id.to_string()));
        }
        self.record_change(actor, Some(id.clone()), None, "client disabled").await
    }

    /// Adds a person.
    ///
    /// # Errors
    /// [`RegistrarError`] names the broken rule; nothing was changed.
    pub async fn add_person(
        &self,
        new: NewPerson,
        actor: &str,
    ) -> Result<PersonId, RegistrarError> {
        if new.password.expose().chars().count() < 12 {
            return Err(RegistrarError::Rule("a password has at least 12 characters"));
        }
        let parts = &self.parts;
        let id = keys::random_id("p_", &*parts.random)?;
        let now = parts.clock.now();
        let person = Person {
            id: PersonId::parse(&id).map_err(|_| Fault::Keys)?,
            username: new.username,
            display_name: new.display_name,
            role: new.role,
            own_record: new.own_record,
            acts_for: new.acts_for,
            fhir_user: new.fhir_user,
            created: now,
            disabled: None,
            password_set: Some(now),
        };
        let phc = parts.identity.passwords().hash(&new.password, &*parts.random)?;
        if !parts.store.insert_person(&person, Some(&phc)).await? {
            return Err(RegistrarError::Exists(person.username.to_string()));
        }
        self.record_change(actor, None, Some(&person.id), "person added").await?;
        Ok(person.id)
    }

    /// Every person.
    ///
    /// # Errors
    /// [`RegistrarError::Fault`].
    pub async fn people(&self) -> Result<Vec<Person>, RegistrarError> {
        Ok(self.parts.store.people().await?)
    }

    /// Disables a person; what they granted is refused from now on.
    ///
    /// # Errors
    /// [`RegistrarError::Unknown`] or a fault.
    pub async fn disable_person(
        &self,
        username: &Username,
        actor: &str,
    ) -> Result<(), RegistrarError> {
        let found = self.parts.store.person_by_username(username).await?;
        let Some((person, _)) = found else {
            return Err(RegistrarError::Unknown(username.to_string()));
        };
        let now = self.parts.clock.now();
        self.parts.store.set_person_disabled(&person.id, Some(now)).await?;
        self.record_change(actor, None, Some(&person.id), "person disabled").await
    }

    async fn record_change(
        &self,
        actor: &str,
        client: Option<ClientId>,
        person: Option<&PersonId>,
        what: &str,
    ) -> Result<(), RegistrarError> {
        let body = Body {
            subject: person.map(ToString::to_string),
            client,
            authentication: Some(actor.to_owned()),
            detail: Some(what.to_owned()),
            ..Body::default()
        };
        let entry = Entry { kind: Kind::AdminChange, outcome: Outcome::Success, body };
        self.parts.ledger.append(vec![entry]).await?;
        Ok(())
    }
}

/// What a registration must be, one line a rule: whether it is broken, and what it says.
fn check(draft: &ClientDraft) -> Result<(), &'static str> {
    let uses = |grant| draft.grants.contains(&grant);
    let confidential = draft.authentication.is_confidential();
    let with_key = matches!(draft.authentication, ClientAuthentication::PrivateKeyJwt { .. });
    let for_system = draft.scopes.has_context(Context::System);
    let bad_keys = match &draft.authentication {
        ClientAuthentication::PrivateKeyJwt { jwks } => JwkSet::parse(jwks).is_err(),
        _ => false,
    };
    let long =
        |text: &str| text.is_empty() || text.len() > 200 || text.chars().any(char::is_control);
    let overlong = |e: &PasswordException| {
        e.until > e.since.plus_secs(PasswordException::MAX_DAYS * 86_400) || e.until <= e.since
    };
    let exception = draft.password_exception.as_ref();
    let rules = [
        (
            draft.id.is_person_like(),
            "a client id must not look like a person's: it begins with `p_`",
        ),
        (
            long(&draft.name) || long(&draft.legal_name) || long(&draft.purpose),
            "name, legal name and purpose have 1 to 200 characters and no control characters",
        ),
        (
            !draft.address.is_empty() && long(&draft.address),
            "an address has up to 200 characters and no control characters",
        ),
        (draft.grants.is_empty(), "a client uses at least one grant"),
        (
            uses(GrantType::AuthorizationCode) == draft.redirect_uris.is_empty(),
            "redirect URIs and the authorization_code grant go together",
        ),
        (
            uses(GrantType::RefreshToken) && !uses(GrantType::AuthorizationCode),
            "the refresh_token grant needs the authorization_code grant",
        ),
        (
            uses(GrantType::ClientCredentials) && !confidential,
            "the client_credentials grant needs a confidential client",
        ),
        (
            for_system && !(with_key && uses(GrantType::ClientCredentials)),
            "`system/` scopes need the client_credentials grant and private_key_jwt",
        ),
        (bad_keys, "the JWK Set is not one of public keys"),
        (
            uses(GrantType::Password) != exception.is_some(),
            "the password grant and a password exception go together",
        ),
        (
            uses(GrantType::Password) && !confidential,
            "the password grant needs a confidential client",
        ),
        (exception.is_some_and(overlong), "a password exception ends within 180 days"),
        (
            exception.is_some_and(|e| long(&e.owner) || long(&e.reason)),
            "a password exception names its owner and its reason",
        ),
    ];
    rules.iter().find(|(broken, _)| *broken).map_or(Ok(()), |(_, rule)| Err(*rule))
}
