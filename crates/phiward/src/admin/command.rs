//! What can be asked over the administration socket, and how the registrar's answers are told.

use std::sync::Arc;

use authority::{Authority, NewClient, NewPerson, RegistrarError};
use domain::{
    Client, ClientAuthentication, ClientDraft, ClientId, FhirId, GrantType, Person, PersonRole,
    Phi, RedirectUri, ResourceType, Secret, Username, Wildcard, scope::ScopeSet,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clock::SystemClock;

use super::{Credentials, Desk, ReadingRecord, Rooms, Shop, Work};

/// A command.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Command {
    ClientAdd(ClientAdd),
    ClientList,
    ClientShow {
        id: String,
    },
    ClientDisable {
        id: String,
    },
    UserAdd(UserAdd),
    UserList,
    UserDisable {
        username: String,
    },
    /// Somebody is about to read sealed records.
    RecordReading(ReadingRecord),
    /// Two people for what one may not do alone.
    SignInOfficers {
        officers: Vec<Credentials>,
    },
    /// Work on the ledger and its keys.
    Work(Work),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ClientAdd {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) legal_name: String,
    pub(crate) purpose: String,
    pub(crate) redirect_uris: Vec<String>,
    pub(crate) scope: String,
    pub(crate) secret: bool,
    pub(crate) jwks: Option<String>,
    pub(crate) backend: bool,
    #[serde(default)]
    pub(crate) receipts: bool,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct UserAdd {
    pub(crate) username: String,
    pub(crate) name: String,
    pub(crate) role: String,
    pub(crate) patient: Option<String>,
    pub(crate) acts_for: Vec<(String, String)>,
    pub(crate) fhir_user: Option<String>,
    pub(crate) password: String,
}

impl std::fmt::Debug for UserAdd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UserAdd")
    }
}

/// What comes back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    Done(Value),
    Refused(String),
    /// With an exit code of its own.
    Trouble {
        id: String,
        message: String,
    },
}

type Outcome = Result<Value, String>;

impl Command {
    /// Carries the command out.
    pub(crate) async fn run(self, rooms: &Rooms, actor: &str) -> Answer {
        let authority = &rooms.authority;
        let outcome = match self {
            Self::ClientAdd(add) => client_add(authority, add, actor).await,
            Self::ClientList => authority
                .clients()
                .await
                .map_err(told)
                .map(|clients| clients.iter().map(client).collect()),
            Self::ClientShow { id } => client_show(authority, &id).await,
            Self::ClientDisable { id } => match ClientId::parse(&id) {
                Ok(id) => authority
                    .disable_client(&id, actor)
                    .await
                    .map(|()| json!({ "client_id": id.as_str(), "disabled": true }))
                    .map_err(told),
                Err(_) => Err(unknown(&id)),
            },
            Self::UserAdd(add) => user_add(authority, add, actor).await,
            Self::UserList => authority
                .people()
                .await
                .map_err(told)
                .map(|people| people.iter().map(person).collect()),
            Self::UserDisable { username } => match Username::parse(&username) {
                Ok(name) => authority
                    .disable_person(&name, actor)
                    .await
                    .map(|()| json!({ "username": username, "disabled": true }))
                    .map_err(told),
                Err(_) => Err(unknown(&username)),
            },
            Self::RecordReading(reading) => return desk(rooms).record(reading, actor).await,
            Self::SignInOfficers { officers } => {
                return desk(rooms).officers(officers, actor).await;
            }
            Self::Work(work) => {
                let shop = Shop {
                    config: Arc::clone(&rooms.config),
                    switch: Arc::clone(&rooms.switch),
                    desk: desk(rooms),
                    clock: Arc::new(SystemClock),
                };
                return shop.run(work, actor).await;
            }
        };
        outcome.map_or_else(Answer::Refused, Answer::Done)
    }
}

fn desk(rooms: &Rooms) -> Desk {
    Desk {
        ledger: rooms.ledger.clone(),
        identity: Some(rooms.authority.identity().clone()),
        officer_reads: rooms.config.ledger.officer_reads,
    }
}

#[allow(clippy::needless_pass_by_value, reason = "the shape that `map_err` takes")]
fn told(error: RegistrarError) -> String {
    error.to_string()
}

fn unknown(name: &str) -> String {
    RegistrarError::Unknown(name.to_owned()).to_string()
}

async fn client_add(authority: &Authority, add: ClientAdd, actor: &str) -> Outcome {
    let wrong = |what: &str| format!("{what} is not valid");
    let authentication = match add.jwks {
        Some(jwks) => ClientAuthentication::PrivateKeyJwt { jwks },
        None if add.secret => ClientAuthentication::Secret { hash: String::new() },
        None => ClientAuthentication::None,
    };
    let redirect_uris: Result<Vec<_>, _> =
        add.redirect_uris.iter().map(|uri| RedirectUri::parse(uri)).collect();
    let grants = if add.backend {
        vec![GrantType::ClientCredentials]
    } else {
        vec![GrantType::AuthorizationCode, GrantType::RefreshToken]
    };
    let draft = ClientDraft {
        id: ClientId::parse(&add.id).map_err(|_| wrong("client id"))?,
        name: add.name,
        legal_name: add.legal_name,
        purpose: add.purpose,
        authentication,
        redirect_uris: redirect_uris.map_err(|error| error.to_string())?,
        grants,
        scopes: ScopeSet::parse(&add.scope).map_err(|_| {
            "scope: each must be one that can be granted, every type by name".to_owned()
        })?,
        wildcard: Wildcard::Refuse,
        password_exception: None,
        receipts: add.receipts,
    };
    let registered = authority.register_client(NewClient { draft }, actor).await.map_err(told)?;
    let secret = registered.secret.as_ref().map(|secret| secret.expose().to_owned());
    Ok(json!({ "client_id": registered.id.as_str(), "client_secret": secret }))
}

async fn client_show(authority: &Authority, id: &str) -> Outcome {
    let clients = authority.clients().await.map_err(told)?;
    clients.iter().find(|c| c.id().as_str() == id).map(client).ok_or_else(|| unknown(id))
}

fn client(client: &Client) -> Value {
    let draft = &client.draft;
    json!({
        "client_id": draft.id.as_str(),
        "name": draft.name,
        "legal_name": draft.legal_name,
        "purpose": draft.purpose,
        "authentication": draft.authentication.method(),
        "redirect_uris": draft.redirect_uris.iter().map(RedirectUri::as_str).collect::<Vec<_>>(),
        "grant_types": draft.grants.iter().map(|g| g.as_str()).collect::<Vec<_>>(),
        "scopes": draft.scopes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "receipts": draft.receipts,
        "wildcard": match draft.wildcard { Wildcard::Refuse => "refuse", Wildcard::Expand => "expand" },
        "disabled": client.disabled.is_some(),
    })
}

async fn user_add(authority: &Authority, add: UserAdd, actor: &str) -> Outcome {
    let wrong = |what: &str| format!("{what} is not valid");
    let id = |text: &str| FhirId::parse(text).map_err(|_| wrong("a FHIR id"));
    let acts_for: Result<Vec<_>, String> = add
        .acts_for
        .into_iter()
        .map(|(patient, name)| Ok((id(&patient)?, Phi::new(name))))
        .collect();
    let fhir_user = match &add.fhir_user {
        Some(text) => {
            let (kind, own) = text.split_once('/').ok_or_else(|| wrong("fhir-user"))?;
            let kind = ResourceType::parse(kind).map_err(|_| wrong("fhir-user"))?;
            Some((kind, id(own)?))
        }
        None => None,
    };
    let new = NewPerson {
        username: Username::parse(&add.username).map_err(|_| wrong("username"))?,
        display_name: Phi::new(add.name),
        role: PersonRole::parse(&add.role).ok_or_else(|| wrong("role"))?,
        own_record: add.patient.as_deref().map(id).transpose()?,
        acts_for: acts_for?,
        fhir_user,
        password: Secret::new(add.password),
    };
    let person = authority.add_person(new, actor).await.map_err(told)?;
    Ok(json!({ "username": add.username, "sub": person.as_str() }))
}

/// Whom a person stands for is PHI and stays in the database.
fn person(person: &Person) -> Value {
    json!({
        "username": person.username.as_str(),
        "sub": person.id.as_str(),
        "role": person.role.as_str(),
        "disabled": person.disabled.is_some(),
    })
}
