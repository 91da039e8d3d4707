//! The consent page: who asks, for what, about whom; each thing with a box of its own; what stays
//! closed; and for how long.

use askama::Template;
use domain::{
    Duration,
    scope::{Context, PlainScope, ResourceScope, Scope},
};

use super::{FormKeys, Site, words};

/// A choice that the person has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentChoice {
    /// The scope; its text is the checkbox's value.
    pub scope: Scope,
    /// Whether the box is ticked to begin with.
    pub ticked: bool,
}

/// Whose record the request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The person's own.
    Own(String),
    /// That of somebody the person acts or cares for.
    Other(String),
    /// No single patient's.
    Nobody,
}

/// What may the app have?
#[derive(Template)]
#[template(path = "consent.html")]
pub struct ConsentPage<'a> {
    site: &'a Site,
    client: ClientWords<'a>,
    person_name: &'a str,
    whose: &'a Whose,
    record: Vec<Line>,
    reachable: Vec<Line>,
    identity: Vec<Line>,
    staying: Vec<Line>,
    closed: Vec<String>,
    durations: Vec<DurationLine>,
    lasting: bool,
    writes: bool,
    keys: &'a FormKeys,
}

/// What the owner of an app says about it.
#[derive(Clone, Copy, Debug)]
pub struct ClientWords<'a> {
    /// The app's name.
    pub name: &'a str,
    /// Who receives the data.
    pub legal_name: &'a str,
    /// What for.
    pub purpose: &'a str,
}

/// A checkbox.
struct Line {
    title: String,
    detail: &'static str,
    value: String,
    ticked: bool,
    /// A part of the line above it.
    part: bool,
    /// The first part of the line above it.
    first_part: bool,
}

struct DurationLine {
    value: &'static str,
    title: &'static str,
    chosen: bool,
}

impl<'a> ConsentPage<'a> {
    /// Puts the page together from what may be chosen.
    pub fn new(
        site: &'a Site,
        client: ClientWords<'a>,
        person_name: &'a str,
        whose: &'a Whose,
        choices: &[ConsentChoice],
        keys: &'a FormKeys,
    ) -> Self {
        let resources: Vec<&ResourceScope> =
            choices.iter().filter_map(|choice| resource(&choice.scope)).collect();
        let lasting = has(choices, PlainScope::OfflineAccess);
        let chosen = if lasting { Duration::NinetyDays } else { Duration::Once };
        Self {
            site,
            client,
            person_name,
            whose,
            record: resource_lines(choices, |context| context == Context::Patient),
            reachable: resource_lines(choices, |context| context != Context::Patient),
            identity: plain_lines(choices, |plain| !stays(plain)),
            staying: plain_lines(choices, stays),
            closed: words::not_opened(&resources),
            durations: Duration::ALL
                .iter()
                .map(|duration| DurationLine {
                    value: duration.as_str(),
                    title: duration_words(*duration),
                    chosen: *duration == chosen,
                })
                .collect(),
            lasting,
            writes: resources.iter().any(|scope| words::verb(scope.permissions) != "See"),
            keys,
        }
    }
}

const fn duration_words(duration: Duration) -> &'static str {
    match duration {
        Duration::Once => "Just this once",
        Duration::Day => "For one day",
        Duration::NinetyDays => "For 90 days",
        Duration::UntilWithdrawn => "Until I take it back, a year at most",
    }
}

fn stays(plain: PlainScope) -> bool {
    matches!(plain, PlainScope::OfflineAccess | PlainScope::OnlineAccess)
}

fn resource(scope: &Scope) -> Option<&ResourceScope> {
    match scope {
        Scope::Resource(resource) => Some(resource),
        Scope::Plain(_) => None,
    }
}

fn has(choices: &[ConsentChoice], wanted: PlainScope) -> bool {
    choices.iter().any(|choice| choice.scope == Scope::Plain(wanted))
}

fn resource_lines(choices: &[ConsentChoice], wanted: impl Fn(Context) -> bool) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut whole: Option<&ResourceScope> = None;
    for choice in choices {
        let Some(scope) = resource(&choice.scope).filter(|scope| wanted(scope.context)) else {
            continue;
        };
        let part = whole.is_some_and(|whole| whole != scope && whole.covers(scope));
        if !part {
            whole = Some(scope);
        }
        let what = words::resources(scope);
        let verb = words::verb(scope.permissions);
        // Seeing is what everybody expects; more than that is said each time.
        let title = if verb == "See" { what } else { format!("{verb}: {what}") };
        let first_part = part && lines.last().is_some_and(|line| !line.part);
        let value = choice.scope.to_string();
        lines.push(Line { title, detail: "", value, ticked: choice.ticked, part, first_part });
    }
    lines
}

fn plain_lines(choices: &[ConsentChoice], wanted: impl Fn(PlainScope) -> bool) -> Vec<Line> {
    choices
        .iter()
        .filter_map(|choice| match &choice.scope {
            Scope::Plain(plain) if wanted(*plain) => {
                let (title, detail) = words::plain(*plain);
                Some(Line {
                    title: title.to_owned(),
                    detail,
                    value: choice.scope.to_string(),
                    ticked: choice.ticked,
                    part: false,
                    first_part: false,
                })
            }
            _ => None,
        })
        .collect()
}
