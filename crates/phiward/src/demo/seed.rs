//! The demo's people and apps, made once for each data directory with fresh secrets.

use std::path::Path;

use authority::{Authority, NewClient, NewPerson, RegisteredClient, RegistrarError};
use domain::scope::{Context, Permissions, PlainScope, ResourceScope, Scope, ScopeSet, Spelling};
use domain::{
    Basis, ClientAuthentication, ClientDraft, ClientId, Clock, FhirId, GrantType,
    PasswordException, PersonRole, Phi, RedirectUri, ResourceType, Secret, Timestamp, Username,
    Wildcard,
};
use keys::opaque::{Opaque, OpaqueKind};
use keys::signing::SigningKey;
use keys::{Algorithm, SystemRandom};

use super::data::{DemoData, DemoUser, NATIVE_REDIRECT};
use crate::cli::DemoArgs;
use crate::clock::SystemClock;
use crate::failure::Failure;
use crate::system::System;

const ACTOR: &str = "demo";

/// Plants people and apps, or remembers those planted before.
pub(super) async fn plant(
    system: &System,
    dir: &Path,
    args: &DemoArgs,
    issuer: &str,
) -> Result<DemoData, Failure> {
    let file = dir.join("demo.json");
    if let Some(data) = DemoData::read(&file)? {
        return Ok(data);
    }
    let authority = system.authority();
    let users = people(authority, args).await?;
    let confidential_secret = secret(client(authority, confidential()?).await?)?;
    let legacy_secret = secret(client(authority, legacy(SystemClock.now())?).await?)?;
    client(authority, web(issuer)?).await?;
    client(authority, native()?).await?;
    client(authority, backend(&dir.join("demo-backend.jwk"))?).await?;
    let token = generate(OpaqueKind::Admin)?;
    keys::key_file::create(&dir.join("admin.token"), token.expose().as_bytes())
        .map_err(|error| Failure::usage(error.to_string()))?;
    let data = DemoData { users, confidential_secret, legacy_secret };
    data.write(&file)?;
    Ok(data)
}

fn generate(kind: OpaqueKind) -> Result<Opaque, Failure> {
    Opaque::generate(kind, &SystemRandom).map_err(|_| Failure::internal())
}

/// A password that can be typed: three groups of six.
fn password() -> Result<String, Failure> {
    let opaque = generate(OpaqueKind::Flow)?;
    let letters: Vec<char> =
        opaque.expose().chars().skip(4).filter(char::is_ascii_alphanumeric).take(18).collect();
    Ok(letters
        .chunks(6)
        .map(|group| group.iter().collect::<String>())
        .collect::<Vec<_>>()
        .join("-"))
}

async fn people(authority: &Authority, args: &DemoArgs) -> Result<Vec<DemoUser>, Failure> {
    let [amina, brook] = sample_fhir::demo_patients();
    let ids = match args.patients.as_slice() {
        [] => [amina.id.to_owned(), brook.id.to_owned()],
        [a, b] => [a.clone(), b.clone()],
        _ => return Err(Failure::usage("--patients takes two ids: A,B")),
    };
    let record = |text: &str| {
        FhirId::parse(text).map_err(|_| Failure::usage("--patients: not a FHIR id".to_owned()))
    };
    let (first, second) = (record(&ids[0])?, record(&ids[1])?);
    let both = vec![
        (first.clone(), Phi::new(amina.display.to_owned())),
        (second.clone(), Phi::new(brook.display.to_owned())),
    ];
    let rows = [
        (amina.username, amina.display, PersonRole::Patient, Some(first), Vec::new()),
        (brook.username, brook.display, PersonRole::Patient, Some(second), Vec::new()),
        ("drsolis", "Dr. Inés Solis", PersonRole::Clinician, None, both),
        ("officer", "Privacy Officer", PersonRole::PrivacyOfficer, None, Vec::new()),
    ];
    let mut users = Vec::new();
    for (username, display, role, own_record, acts_for) in rows {
        let user = DemoUser {
            username: username.to_owned(),
            password: password()?,
            role: role.as_str().to_owned(),
            patient: own_record.as_ref().map(ToString::to_string),
        };
        let new = NewPerson {
            username: Username::parse(username).map_err(|_| Failure::internal())?,
            display_name: Phi::new(display.to_owned()),
            role,
            fhir_user: own_record.clone().map(|id| (ResourceType::Patient, id)),
            own_record,
            acts_for,
            password: Secret::new(user.password.clone()),
        };
        authority.add_person(new, ACTOR).await.map_err(|error| failed(&error))?;
        users.push(user);
    }
    Ok(users)
}

fn failed(error: &RegistrarError) -> Failure {
    Failure::usage(error.to_string())
}

async fn client(authority: &Authority, draft: ClientDraft) -> Result<RegisteredClient, Failure> {
    authority.register_client(NewClient { draft }, ACTOR).await.map_err(|error| failed(&error))
}

fn secret(registered: RegisteredClient) -> Result<String, Failure> {
    registered.secret.map(|secret| secret.expose().to_owned()).ok_or_else(Failure::internal)
}

/// Every type by name, for reading and searching.
fn reading(contexts: &[Context]) -> impl Iterator<Item = Scope> {
    contexts.iter().flat_map(|context| {
        ResourceType::ALL.iter().map(|resource_type| {
            Scope::Resource(ResourceScope {
                context: *context,
                resource_type: *resource_type,
                filters: Vec::new(),
                permissions: Permissions::READ.union(Permissions::SEARCH),
                spelling: Spelling::V2,
            })
        })
    })
}

fn app_scopes() -> ScopeSet {
    PlainScope::ALL
        .iter()
        .map(|plain| Scope::Plain(*plain))
        .chain(reading(&[Context::Patient, Context::User]))
        .collect()
}

fn draft(id: &str, name: &str, redirect_uri: Option<&str>) -> Result<ClientDraft, Failure> {
    let redirect_uris = redirect_uri.map(RedirectUri::parse).transpose();
    Ok(ClientDraft {
        id: ClientId::parse(id).map_err(|_| Failure::internal())?,
        name: name.to_owned(),
        legal_name: "Example Health Apps, Inc. (demo)".to_owned(),
        address: "1 Example Plaza, Springfield, IL 62701, USA".to_owned(),
        purpose: "Showing you how your lab results develop over time".to_owned(),
        basis: None,
        authentication: ClientAuthentication::None,
        redirect_uris: redirect_uris.map_err(|_| Failure::internal())?.into_iter().collect(),
        grants: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
        scopes: app_scopes(),
        wildcard: Wildcard::Refuse,
        password_exception: None,
        receipts: false,
    })
}

fn web(issuer: &str) -> Result<ClientDraft, Failure> {
    draft("demo-web", "Lab Trends", Some(&format!("{issuer}/demo/callback")))
}

fn native() -> Result<ClientDraft, Failure> {
    Ok(ClientDraft {
        receipts: true,
        ..draft("demo-native", "Lab Trends for your phone", Some(NATIVE_REDIRECT))?
    })
}

fn confidential() -> Result<ClientDraft, Failure> {
    let authentication = ClientAuthentication::Secret { hash: String::new() };
    Ok(ClientDraft {
        authentication,
        ..draft("demo-confidential", "Lab Trends for clinics", Some(NATIVE_REDIRECT))?
    })
}

/// Its private key goes to a file of its own, once.
fn backend(jwk_file: &Path) -> Result<ClientDraft, Failure> {
    let key = SigningKey::generate(Algorithm::Es384).map_err(|_| Failure::internal())?;
    let private = key.private_jwk().map_err(|_| Failure::internal())?;
    keys::key_file::create(jwk_file, private.expose().as_bytes())
        .map_err(|error| Failure::usage(error.to_string()))?;
    let jwks = serde_json::json!({ "keys": [key.public_jwk()] }).to_string();
    Ok(ClientDraft {
        authentication: ClientAuthentication::PrivateKeyJwt { jwks },
        grants: vec![GrantType::ClientCredentials],
        scopes: ScopeSet::parse("system/Observation.rs system/Patient.rs")
            .map_err(|_| Failure::internal())?,
        legal_name: "Example State Department of Health (demo)".to_owned(),
        address: "20 Sample Street, Springfield, IL 62702, USA".to_owned(),
        purpose: "Nightly quality measures for the state".to_owned(),
        // None of the exceptions, so that the demo has something to account for.
        basis: Some(Basis::PublicHealth),
        ..draft("demo-backend", "Quality Measures", None)?
    })
}

fn legacy(now: Timestamp) -> Result<ClientDraft, Failure> {
    Ok(ClientDraft {
        authentication: ClientAuthentication::Secret { hash: String::new() },
        grants: vec![GrantType::Password],
        scopes: reading(&[Context::Patient]).collect(),
        password_exception: Some(PasswordException {
            owner: "Demo platform team".to_owned(),
            reason: "The ward terminal is being replaced".to_owned(),
            since: now,
            until: now.plus_secs(30 * 86_400),
        }),
        ..draft("demo-legacy", "Ward Terminal", None)?
    })
}
