//! What a person may allow, and what they allowed. Each scope is a choice; for Condition,
//! Observation and DocumentReference so is each category. What comes back is checked against what
//! was offered: a form can be edited.

use domain::scope::{PlainScope, ResourceScope, Scope, ScopeFilter, ScopeSet};
use domain::{Duration, Person, PersonRole, Reject, ResourceType};

/// A line of the consent page with a checkbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentItem {
    /// The scope; its text is the checkbox's value.
    pub scope: Scope,
    /// Whether the box is ticked to begin with.
    pub ticked: bool,
}

/// What a person decided.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Allow the ticked scopes, for so long.
    Approve {
        /// The ticked values.
        scopes: Vec<String>,
        /// For how long.
        duration: Duration,
    },
    /// Allow nothing.
    Deny,
}

const CONDITION: &str = "http://terminology.hl7.org/CodeSystem/condition-category";
const OBSERVATION: &str = "http://terminology.hl7.org/CodeSystem/observation-category";
const US_CORE: &str = "http://hl7.org/fhir/us/core/CodeSystem";

/// The categories offered one by one (US Core 6.1, "SMART scopes"): type, system, suffix, codes.
const CATEGORIES: &[(ResourceType, &str, &str, &[&str])] = &[
    (ResourceType::Condition, CONDITION, "", &["problem-list-item", "encounter-diagnosis"]),
    (ResourceType::Condition, US_CORE, "/condition-category", &["health-concern"]),
    (
        ResourceType::Observation,
        OBSERVATION,
        "",
        &["laboratory", "vital-signs", "social-history", "survey", "imaging", "procedure", "exam"],
    ),
    (
        ResourceType::DocumentReference,
        US_CORE,
        "/us-core-documentreference-category",
        &["clinical-note"],
    ),
];

/// The choices that a set of scopes amounts to, in print order.
pub(crate) fn offer(scopes: &ScopeSet) -> Vec<ConsentItem> {
    let mut items = Vec::new();
    for scope in scopes.iter() {
        items.push(ConsentItem { scope: scope.clone(), ticked: true });
        if let Scope::Resource(resource) = scope
            && resource.filters.is_empty()
        {
            items.extend(categories(resource));
        }
    }
    items
}

fn categories(whole: &ResourceScope) -> impl Iterator<Item = ConsentItem> {
    CATEGORIES.iter().filter(|row| row.0 == whole.resource_type).flat_map(move |row| {
        row.3.iter().filter_map(move |code| {
            let text = format!("category={}{}|{code}", row.1, row.2);
            let filter = ScopeFilter::parse(whole.resource_type, &text).ok()?;
            let scope = ResourceScope { filters: vec![filter], ..whole.clone() };
            Some(ConsentItem { scope: Scope::Resource(scope), ticked: false })
        })
    })
}

/// The ticked scopes, if each is a part of what was offered. A single visit needs no refresh token.
pub(crate) fn chosen(
    offered: &ScopeSet,
    ticked: &[String],
    duration: Duration,
) -> Result<ScopeSet, Reject> {
    let mut scopes = Vec::new();
    for text in ticked {
        let one = ScopeSet::parse(text).map_err(|_| Reject::ChoiceOutOfReach)?;
        if !offered.covers(&one) {
            return Err(Reject::ChoiceOutOfReach);
        }
        scopes.extend(one.iter().cloned());
    }
    let lasting = |scope: &Scope| {
        *scope == Scope::Plain(PlainScope::OfflineAccess)
            || *scope == Scope::Plain(PlainScope::OnlineAccess)
    };
    let set: ScopeSet = scopes.into_iter().collect();
    Ok(set.retain(|scope| duration != Duration::Once || !lasting(scope)))
}

/// What of the scopes this person can give at all: a role without a record has none to share.
pub(crate) fn entitled(person: &Person, scopes: &ScopeSet) -> ScopeSet {
    scopes.retain(|scope| match (person.role, scope) {
        (PersonRole::Patient | PersonRole::Clinician, _) => true,
        (_, Scope::Plain(plain)) => *plain != PlainScope::LaunchPatient,
        (PersonRole::PrivacyOfficer | PersonRole::Administrator, Scope::Resource(_)) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> ScopeSet {
        ScopeSet::parse(text).unwrap()
    }

    #[test]
    fn every_category_is_a_choice_and_within_its_type() {
        let asked = set("patient/Observation.rs patient/Patient.r");
        let items = offer(&asked);
        assert_eq!(items.len(), 9);
        for item in items {
            assert!(asked.covers(&[item.scope].into_iter().collect()));
        }
        let granular = set(
            "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory",
        );
        assert_eq!(offer(&granular).len(), 1);
    }

    #[test]
    fn ticking_only_a_category_grants_only_that() {
        let asked = set("patient/Observation.rs openid");
        let labs = format!("patient/Observation.rs?category={OBSERVATION}|laboratory");
        let granted = chosen(&asked, std::slice::from_ref(&labs), Duration::Day).unwrap();
        assert_eq!(granted.to_string(), labs);
    }

    #[test]
    fn an_edited_form_gains_nothing() {
        let asked = set("patient/Observation.rs");
        for edited in [
            "patient/Condition.rs",
            "patient/Observation.cruds",
            "user/Observation.rs",
            "patient/*.rs",
            "x",
        ] {
            assert_eq!(
                chosen(&asked, &[edited.to_owned()], Duration::Day),
                Err(Reject::ChoiceOutOfReach),
                "{edited}"
            );
        }
    }

    #[test]
    fn a_single_visit_keeps_no_key() {
        let asked = set("openid offline_access online_access");
        let ticked: Vec<_> = asked.iter().map(ToString::to_string).collect();
        assert_eq!(chosen(&asked, &ticked, Duration::Once).unwrap().to_string(), "openid");
    }
}
