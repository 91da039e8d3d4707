//! Who clients and people are, as registered now: records name them by id alone.

use std::collections::BTreeMap;

use domain::scope::ScopeSet;
use domain::{Basis, Client, ClientId, FhirId, Person, PersonRole};

/// Everybody a report may have to name.
#[derive(Clone, Default, Debug)]
pub struct Directory {
    /// Clients by id.
    pub clients: BTreeMap<ClientId, ClientFacts>,
    /// People by the `sub` of their tokens.
    pub people: BTreeMap<String, PersonFacts>,
}

/// A client as registered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientFacts {
    /// The name that people are shown.
    pub name: String,
    /// The recipient's legal name.
    pub legal_name: String,
    /// The recipient's postal address; empty where it is not known.
    pub address: String,
    /// What the data is for.
    pub purpose: String,
    /// The registered basis.
    pub basis: Option<Basis>,
    /// The most it may be granted.
    pub scopes: ScopeSet,
    /// Whether it is disabled.
    pub disabled: bool,
}

/// A person as registered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PersonFacts {
    /// What they sign in with.
    pub username: String,
    /// What they are to the records.
    pub role: PersonRole,
    /// Their own record.
    pub own_record: Option<FhirId>,
    /// Those whose record they may reach.
    pub patients: Vec<FhirId>,
}

impl Directory {
    /// From what is registered.
    pub fn new(
        clients: impl IntoIterator<Item = Client>,
        people: impl IntoIterator<Item = Person>,
    ) -> Self {
        let clients = clients.into_iter().map(|client| {
            let disabled = client.disabled.is_some();
            let draft = client.draft;
            let facts = ClientFacts {
                name: draft.name,
                legal_name: draft.legal_name,
                address: draft.address,
                purpose: draft.purpose,
                basis: draft.basis,
                scopes: draft.scopes,
                disabled,
            };
            (draft.id, facts)
        });
        let people = people.into_iter().map(|person| {
            let facts = PersonFacts {
                username: person.username.to_string(),
                role: person.role,
                own_record: person.own_record.clone(),
                patients: person.patients().cloned().collect(),
            };
            (person.id.to_string(), facts)
        });
        Self { clients: clients.collect(), people: people.collect() }
    }

    /// The `sub` of a person given by it or by their username.
    pub fn person(&self, name: &str) -> Option<&str> {
        let by_name = |(_, facts): &(&String, &PersonFacts)| facts.username == name;
        match self.people.get_key_value(name) {
            Some((sub, _)) => Some(sub),
            None => self.people.iter().find(by_name).map(|(sub, _)| sub.as_str()),
        }
    }

    /// A person's username beside their `sub`, as far as it is known.
    pub fn person_text(&self, sub: &str) -> String {
        self.people.get(sub).map_or_else(|| sub.to_owned(), |facts| facts.username.clone())
    }
}
