//! Predicates evaluated on a resource by ourselves, because an upstream that ignores a parameter
//! must not widen an answer (`gateway.md`, rows 4 and 5).

use domain::ResourceType;
use domain::scope::{ScopeFilter, ScopeParameter, TokenValue};

use crate::scan::{Element, Facts};
use crate::search::{Predicate, Values};
use crate::table::Kind;

/// Whether a resource satisfies one filter of a granular scope.
pub fn holds_filter(facts: &Facts<'_>, filter: &ScopeFilter) -> bool {
    if filter.parameter == ScopeParameter::Security {
        return facts.security().any(|(system, code)| filter.value.matches(system, code));
    }
    elements(filter.parameter, facts.resource_type).iter().any(|element| {
        facts.codings(*element).any(|(system, code, _)| filter.value.matches(system, code))
    })
}

/// Whether a resource satisfies a predicate of the client's query, where this can be told from the
/// codes that are read; dates, texts and references to other types are left to the upstream.
pub fn holds_predicate(facts: &Facts<'_>, predicate: &Predicate) -> bool {
    match (&predicate.values, predicate.parameter.kind) {
        (Values::Ids(ids), _) => ids.contains(&facts.id),
        (Values::Patients(patients), _) => {
            facts.patients.iter().any(|patient| patients.contains(patient))
        }
        (Values::Tokens(values), Kind::Token(elements)) => elements.iter().any(|element| {
            facts
                .codings(*element)
                .any(|(system, code, bare)| values.iter().any(|v| admits(v, system, code, bare)))
        }),
        _ => true,
    }
}

/// A `code` element's system is fixed by its definition, so a client's `system|code` is compared by
/// code. A scope's filter gets no such grace.
fn admits(value: &TokenValue, system: &str, code: &str, bare: bool) -> bool {
    if bare {
        value.code.as_deref().is_none_or(|wanted| wanted == code)
    } else {
        value.matches(system, code)
    }
}

fn elements(parameter: ScopeParameter, resource_type: ResourceType) -> &'static [Element] {
    use ResourceType as R;
    match (parameter, resource_type) {
        (ScopeParameter::Category, _) => &[Element::Category],
        (ScopeParameter::ClinicalStatus, _) => &[Element::ClinicalStatus],
        (
            ScopeParameter::Code,
            R::MedicationRequest
            | R::MedicationDispense
            | R::MedicationStatement
            | R::MedicationAdministration,
        ) => &[Element::MedicationCodeableConcept],
        (ScopeParameter::Code, R::AllergyIntolerance) => {
            &[Element::Code, Element::ReactionSubstance]
        }
        (ScopeParameter::Code, _) => &[Element::Code],
        (ScopeParameter::Status, _) => &[Element::Status],
        (ScopeParameter::Type, _) => &[Element::Type],
        (ScopeParameter::Security, _) => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::scan;

    #[test]
    fn a_scope_filter_is_tested_on_the_resource_row_4() {
        let raw = r#"{"resourceType":"Observation","id":"o","status":"final",
            "category":[{"coding":[{"system":"s","code":"laboratory"}]}],
            "meta":{"security":[{"system":"c","code":"N"}]}}"#;
        let facts = scan(raw, "http://up").unwrap();
        let holds = |text| {
            holds_filter(&facts, &ScopeFilter::parse(ResourceType::Observation, text).unwrap())
        };
        for yes in [
            "category=s|laboratory",
            "category=laboratory",
            "category=s|",
            "status=final",
            "_security=c|N",
        ] {
            assert!(holds(yes), "{yes}");
        }
        for no in [
            "category=t|laboratory",
            "category=|laboratory",
            "category=vital-signs",
            "code=x",
            "status=s|final",
            "_security=R",
        ] {
            assert!(!holds(no), "{no}");
        }
    }
}
