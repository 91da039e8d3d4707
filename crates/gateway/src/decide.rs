//! What a token may do, before anything is asked of the upstream. One context counts for one
//! request, the narrowest that permits it: a broader one never adds to it (`gateway.md`, row 28). A
//! missing patient is a refusal, never "no filter" (row 27).

use domain::scope::{Context, PlainScope, ResourceScope, ScopeSet};
use domain::{FhirId, Reject, ResourceType};
use fhir::{Interaction, Subject, table_of};

/// Whose records a request may touch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Reach {
    /// One patient: the token's.
    Patient(FhirId),
    /// Those that the person may reach, one of them at a time.
    Person(Vec<FhirId>),
    /// Every patient: a client on its own behalf.
    Everyone,
    /// Nothing but the person's own FHIR resource.
    Own,
}

/// A request that may be asked, with what its answer must satisfy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Permit {
    pub(crate) reach: Reach,
    /// A resource must satisfy all filters of at least one; empty for [`Reach::Own`].
    pub(crate) scopes: Vec<ResourceScope>,
}

/// Who asks, as far as deciding needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    pub(crate) scopes: &'a ScopeSet,
    /// The token's `patient`.
    pub(crate) patient: Option<&'a FhirId>,
    /// `None` where a client asks on its own behalf.
    pub(crate) person: Option<Person<'a>>,
}

/// The person behind a token, as the store knows them now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Person<'a> {
    pub(crate) patients: &'a [FhirId],
    pub(crate) fhir_user: Option<&'a (ResourceType, FhirId)>,
}

/// Judges the kind of access; particular records are judged when they have come back.
pub(crate) fn decide(interaction: &Interaction, asker: &Asker<'_>) -> Result<Permit, Reject> {
    let (resource_type, searches) = match interaction {
        Interaction::Read(kind, id) => {
            if is_own(asker, *kind, id) {
                return Ok(Permit { reach: Reach::Own, scopes: Vec::new() });
            }
            (*kind, false)
        }
        Interaction::Search(kind) => (*kind, true),
        Interaction::Capabilities => return Err(Reject::InteractionRefused),
        Interaction::Unbuilt(unbuilt) => {
            return Err(refusal(interaction, unbuilt.resource_type, asker));
        }
    };
    let table = table_of(resource_type).ok_or(Reject::ScopeInsufficient)?;
    if searches && table.subject == Subject::Nobody {
        return Err(Reject::InteractionRefused);
    }
    let permission = interaction.permission().ok_or(Reject::InteractionRefused)?;
    let system = asker.scopes.has_context(Context::System);
    let mixed =
        asker.scopes.has_context(Context::Patient) || asker.scopes.has_context(Context::User);
    if system && (mixed || asker.person.is_some()) {
        return Err(Reject::ScopeInsufficient);
    }
    for context in [Context::Patient, Context::User, Context::System] {
        let scopes: Vec<_> =
            asker.scopes.permitting(context, resource_type, permission).cloned().collect();
        if !scopes.is_empty() {
            return Ok(Permit { reach: reach(context, asker)?, scopes });
        }
    }
    Err(Reject::ScopeInsufficient)
}

fn reach(context: Context, asker: &Asker<'_>) -> Result<Reach, Reject> {
    match (context, asker.person) {
        (Context::Patient, Some(person)) => {
            let patient = asker.patient.ok_or(Reject::PatientMissing)?;
            // Whoever no longer acts for a patient no longer reads their record.
            if person.patients.contains(patient) {
                Ok(Reach::Patient(patient.clone()))
            } else {
                Err(Reject::PatientMissing)
            }
        }
        (Context::Patient, None) => Err(Reject::PatientMissing),
        (Context::User, Some(person)) => Ok(Reach::Person(person.patients.to_vec())),
        (Context::User, None) | (Context::System, Some(_)) => Err(Reject::ScopeInsufficient),
        (Context::System, None) => Ok(Reach::Everyone),
    }
}

/// `openid fhirUser`: exactly the person's own resource (SMART App Launch 2.2, "Scopes for requesting
/// identity data").
fn is_own(asker: &Asker<'_>, kind: ResourceType, id: &FhirId) -> bool {
    let asked = asker.scopes.has(PlainScope::OpenId) && asker.scopes.has(PlainScope::FhirUser);
    let own = asker.person.and_then(|person| person.fhir_user);
    asked && own.is_some_and(|(own_kind, own_id)| *own_kind == kind && own_id == id)
}

/// The answer to what is not served depends on the token and the kind of request alone: 501 to who
/// holds the permission, 403 to who does not and where no scope could grant it.
fn refusal(
    interaction: &Interaction,
    resource_type: Option<ResourceType>,
    asker: &Asker<'_>,
) -> Reject {
    let (Some(permission), Some(kind)) = (interaction.permission(), resource_type) else {
        return Reject::InteractionRefused;
    };
    let granted = [Context::Patient, Context::User, Context::System]
        .into_iter()
        .any(|context| asker.scopes.permitting(context, kind, permission).next().is_some());
    if granted { Reject::NotInThisVersion } else { Reject::ScopeInsufficient }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> FhirId {
        FhirId::parse(text).unwrap()
    }

    fn of(method: &str, path: &str, scopes: &str, patient: Option<&str>) -> Result<Permit, Reject> {
        let scopes = ScopeSet::parse(scopes).unwrap();
        let (patient, patients) = (patient.map(id), [id("p1"), id("p2")]);
        let fhir_user = (ResourceType::Practitioner, id("d1"));
        let person = Some(Person { patients: &patients, fhir_user: Some(&fhir_user) });
        let asker = Asker { scopes: &scopes, patient: patient.as_ref(), person };
        decide(&Interaction::parse(method, path).unwrap(), &asker)
    }

    #[test]
    fn a_patient_scope_without_a_patient_is_refused_row_27() {
        let scope = "patient/Observation.rs";
        assert_eq!(of("GET", "/Observation", scope, None), Err(Reject::PatientMissing));
        assert_eq!(of("GET", "/Observation", scope, Some("p9")), Err(Reject::PatientMissing));
        let permit = of("GET", "/Observation", scope, Some("p1")).unwrap();
        assert_eq!(permit.reach, Reach::Patient(id("p1")));
    }

    #[test]
    fn the_narrowest_context_counts_and_no_other_adds_to_it_row_28() {
        let both = "patient/Observation.rs?category=x user/Observation.rs";
        let permit = of("GET", "/Observation", both, Some("p1")).unwrap();
        assert_eq!(permit.reach, Reach::Patient(id("p1")));
        assert_eq!(permit.scopes.len(), 1);
        assert_eq!(of("GET", "/Observation", both, None), Err(Reject::PatientMissing));
        let system = "system/Observation.rs";
        assert_eq!(of("GET", "/Observation", system, None), Err(Reject::ScopeInsufficient));
        let backend = |scopes: &str| {
            let scopes = ScopeSet::parse(scopes).unwrap();
            let asker = Asker { scopes: &scopes, patient: None, person: None };
            decide(&Interaction::parse("GET", "/Observation").unwrap(), &asker)
        };
        assert_eq!(backend(system).unwrap().reach, Reach::Everyone);
        let mixed = backend("system/Observation.rs user/Condition.rs");
        assert_eq!(mixed, Err(Reject::ScopeInsufficient));
    }

    #[test]
    fn what_is_not_served_answers_from_one_table() {
        let scope = "patient/Observation.rus";
        for (method, path, answer) in [
            ("GET", "/Observation/1/_history/1", Reject::NotInThisVersion),
            ("GET", "/Observation/1/_history", Reject::NotInThisVersion),
            ("GET", "/Observation/_history", Reject::NotInThisVersion),
            ("PUT", "/Observation/1", Reject::NotInThisVersion),
            ("POST", "/Observation", Reject::ScopeInsufficient),
            ("DELETE", "/Observation/1", Reject::ScopeInsufficient),
            ("PUT", "/Condition/1", Reject::ScopeInsufficient),
            ("GET", "/", Reject::InteractionRefused),
            ("POST", "/", Reject::InteractionRefused),
            ("GET", "/_history", Reject::InteractionRefused),
            ("GET", "/Patient/p1/Observation", Reject::InteractionRefused),
            ("GET", "/Patient/p1/$everything", Reject::InteractionRefused),
            ("POST", "/$graphql", Reject::InteractionRefused),
            // No table says whose these are.
            ("GET", "/Provenance/1", Reject::ScopeInsufficient),
            ("GET", "/Condition", Reject::ScopeInsufficient),
        ] {
            assert_eq!(of(method, path, scope, Some("p1")), Err(answer), "{method} {path}");
        }
        let every = "patient/Provenance.rs patient/Practitioner.rs";
        assert_eq!(of("GET", "/Provenance/1", every, Some("p1")), Err(Reject::ScopeInsufficient));
        assert_eq!(of("GET", "/Practitioner", every, Some("p1")), Err(Reject::InteractionRefused));
    }

    #[test]
    fn an_identity_scope_reaches_the_persons_own_resource_and_no_other() {
        let scope = "openid fhirUser";
        assert_eq!(of("GET", "/Practitioner/d1", scope, None).unwrap().reach, Reach::Own);
        for (path, scope) in [
            ("/Practitioner/d2", "openid fhirUser"),
            ("/Patient/d1", "openid fhirUser"),
            ("/Practitioner/d1", "openid profile"),
            ("/Practitioner/d1", "fhirUser"),
            ("/Practitioner", "openid fhirUser"),
        ] {
            assert!(of("GET", path, scope, None).is_err(), "{path} {scope}");
        }
    }
}
