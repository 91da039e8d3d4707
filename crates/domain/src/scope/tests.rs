use proptest::prelude::*;

use super::*;
use crate::ResourceType as R;

const LABS: &str = "http://terminology.hl7.org/CodeSystem/observation-category|laboratory";

fn set(text: &str) -> ScopeSet {
    ScopeSet::parse(text).expect("a scope list")
}

fn resource_scope() -> impl Strategy<Value = Scope> {
    let context = prop_oneof![Just(Context::Patient), Just(Context::User)];
    let kind = prop_oneof![Just(R::Observation), Just(R::Condition)];
    let filter = prop_oneof![
        Just("category=s|laboratory"),
        Just("category=s|vital-signs"),
        Just("code=http://loinc.org|4548-4"),
        Just("_security=N"),
    ];
    let spelling = prop_oneof![Just(Spelling::V1), Just(Spelling::V2)];
    (context, kind, proptest::collection::vec(filter, 0..3), 1u8..32, spelling).prop_map(
        |(context, resource_type, filters, bits, spelling)| {
            let letters: String = "cruds"
                .chars()
                .enumerate()
                .filter(|(i, _)| bits & (16 >> i) != 0)
                .map(|(_, letter)| letter)
                .collect();
            let permissions = Permissions::parse_v2(&letters).expect("letters in order");
            let mut filters: Vec<_> = filters
                .iter()
                .map(|f| ScopeFilter::parse(resource_type, f).expect("a filter"))
                .collect();
            filters.sort();
            filters.dedup();
            // A word of SMART 1 exists for two sets of letters only.
            let spelling = if permissions.v1().is_some() { spelling } else { Spelling::V2 };
            Scope::Resource(ResourceScope {
                context,
                resource_type,
                filters,
                permissions,
                spelling,
            })
        },
    )
}

fn any_scope() -> impl Strategy<Value = Scope> {
    let plain = proptest::sample::select(PlainScope::ALL).prop_map(Scope::Plain);
    prop_oneof![1 => plain, 4 => resource_scope()]
}

fn any_set() -> impl Strategy<Value = ScopeSet> {
    proptest::collection::vec(any_scope(), 0..6).prop_map(|scopes| scopes.into_iter().collect())
}

/// The same set with every member spelled in the letters of SMART 2.
fn respelled(set: &ScopeSet) -> ScopeSet {
    let scopes = set.iter().cloned().map(|scope| match scope {
        Scope::Resource(r) => Scope::Resource(ResourceScope { spelling: Spelling::V2, ..r }),
        plain => plain,
    });
    scopes.collect()
}

proptest! {
    #[test]
    fn a_printed_scope_reads_back_as_itself(scope in any_scope()) {
        let printed = scope.to_string();
        prop_assert_eq!(grammar::read(&printed), Ok(grammar::Read::Known(scope)));
    }

    #[test]
    fn a_printed_set_reads_back_and_prints_the_same(a in any_set()) {
        let printed = a.to_string();
        let again = ScopeSet::parse(&printed).expect("our own print");
        prop_assert_eq!(again.to_string(), printed);
        prop_assert!(again.covers(&a) && a.covers(&again));
    }

    #[test]
    fn narrowing_is_never_wider_than_either(a in any_set(), b in any_set()) {
        let met = a.narrow(&b);
        prop_assert!(a.covers(&met));
        prop_assert!(b.covers(&met));
    }

    #[test]
    fn narrowing_keeps_all_that_both_grant(a in any_set(), b in any_set(), c in any_scope()) {
        let c: ScopeSet = [c].into_iter().collect();
        if a.covers(&c) && b.covers(&c) {
            prop_assert!(a.narrow(&b).covers(&c));
        }
    }

    #[test]
    fn narrowing_is_commutative(a in any_set(), b in any_set()) {
        prop_assert_eq!(a.narrow(&b), b.narrow(&a));
    }

    #[test]
    fn narrowing_is_idempotent(a in any_set(), b in any_set()) {
        prop_assert_eq!(a.narrow(&a), a.clone());
        // The spelling is the asker's; what is granted does not change.
        let met = a.narrow(&b);
        prop_assert_eq!(respelled(&met.narrow(&b)), respelled(&met));
    }

    #[test]
    fn sets_that_grant_the_same_are_the_same_value(a in any_set(), b in any_set()) {
        if a.covers(&b) && b.covers(&a) {
            prop_assert_eq!(respelled(&a), respelled(&b));
        }
        // Whatever order and cut they were put together in.
        let apart = a.iter().rev().flat_map(|scope| match scope {
            Scope::Resource(r) => "cruds"
                .chars()
                .filter_map(|letter| Permissions::parse_v2(&letter.to_string()))
                .filter(|one| r.permissions.contains(*one))
                .map(|permissions| Scope::Resource(ResourceScope { permissions, ..r.clone() }))
                .collect(),
            Scope::Plain(_) => vec![scope.clone()],
        });
        prop_assert_eq!(apart.collect::<ScopeSet>(), a);
    }

    #[test]
    fn narrowing_is_monotone(a in any_set(), b in any_set(), c in any_set()) {
        let wider: ScopeSet = a.iter().chain(b.iter()).cloned().collect();
        prop_assert!(wider.narrow(&c).covers(&a.narrow(&c)));
    }

    #[test]
    fn no_text_yields_a_set_with_a_wildcard(text in "[a-zP*/.?=|: ]{0,40}") {
        if let Ok(scopes) = ScopeSet::parse(&text) {
            prop_assert!(!scopes.to_string().contains('*'));
        }
        if let Ok(asked) = RequestedScopes::parse(&text) {
            prop_assert!(!asked.expanded(&set("patient/Observation.rs")).to_string().contains('*'));
        }
    }
}

#[test]
fn a_granular_scope_is_narrower_than_its_type() {
    let labs = set(&format!("patient/Observation.rs?category={LABS}"));
    let all = set("patient/Observation.rs");
    assert!(all.covers(&labs));
    assert!(!labs.covers(&all));
    assert_eq!(all.narrow(&labs), labs);
}

#[test]
fn a_member_says_all_that_may_be_done_with_what_it_names() {
    let both = set("patient/Observation.r patient/Observation.s?category=s|laboratory");
    assert_eq!(
        both.to_string(),
        "patient/Observation.r patient/Observation.rs?category=s|laboratory"
    );
    assert_eq!(both.narrow(&both), both);
    let one = set("patient/Observation.rs patient/Observation.r?category=s|laboratory");
    assert_eq!(one.to_string(), "patient/Observation.rs");
}

#[test]
fn letters_stand_in_the_order_cruds_and_once() {
    for bad in ["sr", "rr", "rsx", "", "CRUDS", "read ", "Read"] {
        assert!(ScopeSet::parse(&format!("patient/Patient.{bad}")).is_err(), "{bad}");
    }
    assert_eq!(set("patient/Patient.cruds").to_string(), "patient/Patient.cruds");
}

#[test]
fn a_version_one_word_is_answered_as_asked_and_gives_no_more() {
    let met = set("patient/Patient.read").narrow(&set("patient/Patient.cruds"));
    assert_eq!(met.to_string(), "patient/Patient.read");
    assert!(set("patient/Patient.rs").covers(&met));
    assert_eq!(set("patient/Patient.write").narrow(&set("patient/Patient.rs")), ScopeSet::EMPTY);
}

#[test]
fn grammar_tricks_are_malformed() {
    for bad in [
        "system:Patient.read",
        "Patient/*.read",
        "*/Patient.rs",
        "patient/patient.rs",
        "patient/Patient.rs?",
        "patient/Patient.rs?name=x",
        "patient/Observation.rs?category",
        "patient/Observation.rs?category=",
        "patient/Observation.rs?category=a,b",
        "patient/Observation.rs?category=a|b|c",
        "patient/Observation.rs?category=a&evil=b",
        "patient/Observation.rs?category=%2a",
        "patient/*.rs?category=a",
        "patient/Observation.rs\u{0}",
        "PATIENT/Observation.rs",
        "patient/Observation",
        "patient/.rs",
        "openid  fhirUser",
        " openid",
        "",
    ] {
        assert!(RequestedScopes::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn wildcards_are_recognised_and_expand_into_registered_names_only() {
    let registered = set("patient/Observation.rs patient/Condition.r user/Patient.rs openid");
    for wildcard in ["patient/*.rs", "patient/*.read", "patient/*.*", "patient/*.cruds"] {
        let asked = RequestedScopes::parse(wildcard).expect("well-formed");
        assert!(asked.has_wildcard());
        assert!(asked.known().is_empty());
        let expanded = asked.expanded(&registered);
        assert!(registered.covers(&expanded));
        assert_eq!(expanded.resources().count(), 2, "{wildcard}");
    }
}

#[test]
fn strangers_are_counted_and_system_is_never_mixed() {
    let asked =
        RequestedScopes::parse("email https://example.org/x launch/encounter openid").unwrap();
    assert_eq!((asked.unknown(), asked.known().to_string().as_str()), (3, "openid"));
    assert_eq!(
        RequestedScopes::parse("system/Patient.r patient/Patient.r"),
        Err(ScopeRequestError::MixedContexts)
    );
    assert_eq!(
        RequestedScopes::parse("system/*.r user/Patient.r"),
        Err(ScopeRequestError::MixedContexts)
    );
}

#[test]
fn the_malformed_social_history_system_means_the_right_one() {
    let spelled = "patient/Observation.rs?category=http://terminology.hl7.org//CodeSystem-observation-category|social-history";
    let right = "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|social-history";
    assert_eq!(set(spelled), set(right));
}

#[test]
fn too_many_tokens_are_refused_before_they_are_read() {
    let many = vec!["openid"; RequestedScopes::MAX_TOKENS + 1].join(" ");
    assert_eq!(RequestedScopes::parse(&many), Err(ScopeRequestError::Malformed));
}
