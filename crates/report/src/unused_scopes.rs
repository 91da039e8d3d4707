//! What each client was granted and never exercised, with the narrower registration that would have
//! been enough: the minimum necessary (45 CFR 164.502(b)), measured.

use std::collections::{BTreeMap, BTreeSet};

use domain::scope::{Permissions, ResourceScope, Scope, ScopeSet};
use domain::{ClientId, Kind, Outcome, Timestamp};
use ledger::read::Record;
use serde::Serialize;

use crate::directory::Directory;
use crate::document::{Document, Section, columns};
use crate::moment::{Period, date_time};
use crate::tally::is_release;

#[derive(Default, Debug)]
struct Usage {
    issued: BTreeSet<ResourceScope>,
    /// Scopes that permitted a release, with what was done by them.
    used: BTreeMap<ResourceScope, Permissions>,
    releases: u64,
}

/// The fold.
#[derive(Default, Debug)]
pub struct UnusedScopes {
    only: Option<ClientId>,
    clients: BTreeMap<ClientId, Usage>,
}

/// The report.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct UnusedScopesReport {
    /// When.
    pub period: Period,
    /// One for each registered client.
    pub clients: Vec<ClientScopes>,
}

/// A client's registration against its use.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ClientScopes {
    /// The client.
    pub client: String,
    /// Whether it is disabled.
    pub disabled: bool,
    /// How often data was released to it.
    pub releases: u64,
    /// Resource scopes of its registration of which nothing was ever exercised.
    pub never_used: Vec<String>,
    /// Those of them that were issued in tokens all the same.
    pub issued_and_never_used: Vec<String>,
    /// Scopes of which only a part was exercised, with that part.
    pub partly_used: Vec<PartlyUsed>,
    /// The registration that would have been enough.
    pub narrower: String,
}

/// A scope wider than its use.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PartlyUsed {
    /// As registered.
    pub registered: String,
    /// What would have been enough.
    pub enough: String,
}

impl UnusedScopes {
    /// Of every client, or of one.
    pub fn new(only: Option<ClientId>) -> Self {
        Self { only, clients: BTreeMap::new() }
    }

    /// Takes a record of the period.
    pub fn take(&mut self, record: &Record) {
        let Some(body) = &record.body else { return };
        let (Some(client), Some(scopes)) = (&body.client, &body.scopes) else { return };
        if self.only.as_ref().is_some_and(|only| only != client) {
            return;
        }
        let issued = matches!(record.kind, Some(Kind::TokenIssued | Kind::TokenRefreshed))
            && record.outcome == Some(Outcome::Success);
        let released = is_release(record);
        if !issued && !released {
            return;
        }
        let usage = self.clients.entry(client.clone()).or_default();
        if issued {
            usage.issued.extend(scopes.resources().cloned());
            return;
        }
        usage.releases = usage.releases.saturating_add(crate::activity::occasion(body));
        let Some(done) = body.interaction.as_deref().and_then(permission) else { return };
        for scope in scopes.resources().filter(|scope| scope.permissions.contains(done)) {
            let known = usage.used.get(scope).copied();
            let all = known.map_or(done, |known| known.union(done));
            usage.used.insert(scope.clone(), all);
        }
    }

    /// The report: clients that were never seen are in it, too.
    pub fn finish(mut self, period: Period, directory: &Directory) -> UnusedScopesReport {
        let registered = directory.clients.iter();
        let wanted = registered.filter(|(id, _)| self.only.as_ref().is_none_or(|only| only == *id));
        let mut clients = Vec::new();
        for (id, facts) in wanted {
            let usage = self.clients.remove(id).unwrap_or_default();
            clients.push(judge(id, facts.disabled, &facts.scopes, &usage));
        }
        UnusedScopesReport { period, clients }
    }
}

/// What was done, as the permission it took.
fn permission(interaction: &str) -> Option<Permissions> {
    match interaction {
        "read" | "vread" | "history-instance" => Some(Permissions::READ),
        "search-type" | "search-system" | "search-compartment" | "history-type" => {
            Some(Permissions::SEARCH)
        }
        _ => None,
    }
}

fn judge(id: &ClientId, disabled: bool, scopes: &ScopeSet, usage: &Usage) -> ClientScopes {
    let mut out = ClientScopes {
        client: id.to_string(),
        disabled,
        releases: usage.releases,
        never_used: Vec::new(),
        issued_and_never_used: Vec::new(),
        partly_used: Vec::new(),
        narrower: String::new(),
    };
    let mut narrower: Vec<Scope> = Vec::new();
    for scope in scopes.iter() {
        let Scope::Resource(registered) = scope else {
            narrower.push(scope.clone());
            continue;
        };
        let enough = enough(registered, usage);
        if enough.is_empty() {
            out.never_used.push(registered.to_string());
            if usage.issued.iter().any(|issued| registered.covers(issued)) {
                out.issued_and_never_used.push(registered.to_string());
            }
            continue;
        }
        if enough != [registered.clone()] {
            let texts = enough.iter().map(ToString::to_string).collect::<Vec<_>>();
            out.partly_used
                .push(PartlyUsed { registered: registered.to_string(), enough: texts.join(" ") });
        }
        narrower.extend(enough.into_iter().map(Scope::Resource));
    }
    let narrower: ScopeSet = narrower.into_iter().collect();
    out.narrower = narrower.to_string();
    out
}

/// The parts of a registered scope that were exercised. With what was used without a filter, what was
/// used with one is used, too.
fn enough(registered: &ResourceScope, usage: &Usage) -> Vec<ResourceScope> {
    let mut parts: Vec<ResourceScope> = Vec::new();
    for (used, done) in &usage.used {
        let mut part = used.clone();
        part.permissions = done.intersection(registered.permissions);
        part.spelling = registered.spelling;
        if part.permissions.is_empty() || !registered.covers(&part) {
            continue;
        }
        match parts.iter_mut().find(|known| known.filters == part.filters) {
            Some(known) => known.permissions = known.permissions.union(part.permissions),
            None => parts.push(part),
        }
    }
    let all = parts.clone();
    let wider = |part: &ResourceScope| all.iter().any(|other| other != part && other.covers(part));
    parts.retain(|part| !wider(part));
    parts
}

impl UnusedScopesReport {
    /// For people.
    pub fn document(&self, now: Timestamp) -> Document {
        let mut rows = Vec::new();
        for client in &self.clients {
            let mut row = |what: &str, scope: &str, enough: &str| {
                rows.push(vec![
                    client.client.clone(),
                    client.releases.to_string(),
                    what.to_owned(),
                    scope.to_owned(),
                    enough.to_owned(),
                ]);
            };
            if client.releases == 0 && !client.never_used.is_empty() {
                let every = format!("all {} of its scopes", client.never_used.len());
                row("nothing released", &every, "leave them out");
                continue;
            }
            for scope in &client.never_used {
                let issued = client.issued_and_never_used.contains(scope);
                let what = if issued { "issued, never used" } else { "never used" };
                row(what, scope, "leave it out");
            }
            for part in &client.partly_used {
                row("partly used", &part.registered, &part.enough);
            }
            if client.never_used.is_empty() && client.partly_used.is_empty() {
                row("all used", "–", "–");
            }
        }
        let heading = [
            ("client", 3),
            ("releases", 1),
            ("finding", 3),
            ("registered scope", 5),
            ("enough", 5),
        ];
        Document {
            title: "Unused scopes".to_owned(),
            facts: vec![
                ("Period".to_owned(), self.period.text()),
                ("Made at".to_owned(), date_time(now)),
            ],
            sections: vec![Section {
                title: "Scopes".to_owned(),
                columns: columns(&heading),
                rows,
            }],
            notes: vec![
                "A scope is used when it permitted a release that the ledger shows in this period. \
                 Scopes for identity, launch and refresh are not data and stay. The whole narrower \
                 registration of a client is in --json, as `narrower`."
                    .to_owned(),
            ],
        }
    }
}
