//! What may be asked for: attacks S4 to S6, and wildcards.

use authority::Step;
use domain::scope::ScopeSet;
use domain::{ClientAuthentication, ClientDraft, Duration, GrantType, Reject, Wildcard};

use crate::app::{Browser, ask, redemption, refused, text};
use crate::world::{World, draft};

impl World {
    /// What of a request the person is asked for.
    async fn offered(&self, client: &str, scope: &str) -> Result<String, Reject> {
        let mut browser = Browser::default();
        let asked = self.authorize(&mut browser, &ask(client, scope)).await;
        if asked.is_err() {
            return Err(refused(asked).0);
        }
        self.sign_in(&mut browser, "amina").await;
        match self.step(&browser).await.unwrap() {
            Step::Consent(step) => {
                let set: ScopeSet = step.items.into_iter().map(|item| item.scope).collect();
                Ok(set.to_string())
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn strangers_and_what_is_not_registered_are_dropped() {
    let world = World::new().await;
    let asked = "openid email patient/Observation.rs patient/Procedure.rs launch/encounter launch";
    assert_eq!(world.offered("web", asked).await.unwrap(), "openid patient/Observation.rs");
    for nothing in ["email", "patient/Procedure.rs", "launch", "system/Patient.rs"] {
        assert_eq!(world.offered("web", nothing).await, Err(Reject::ScopeEmpty), "{nothing}");
    }
}

#[tokio::test]
async fn no_more_than_the_registered_permissions_is_offered() {
    let world = World::new().await;
    for (asked, offered) in [
        ("patient/Observation.cruds", "patient/Observation.rs"),
        ("patient/Observation.r", "patient/Observation.r"),
        ("patient/Observation.read", "patient/Observation.read"),
        ("patient/Observation.read patient/Patient.write", "patient/Observation.read"),
    ] {
        assert_eq!(world.offered("web", asked).await.unwrap(), offered, "{asked}");
    }
    assert_eq!(world.offered("web", "patient/Observation.cud").await, Err(Reject::ScopeEmpty));
    assert_eq!(world.offered("web", "patient/Observation.write").await, Err(Reject::ScopeEmpty));
}

#[tokio::test]
async fn a_first_versions_read_is_no_write() {
    let world = World::new().await;
    let scopes = "patient/Observation.cruds";
    let app = [GrantType::AuthorizationCode, GrantType::RefreshToken];
    world.register(draft("writer", ClientAuthentication::None, &app, scopes)).await;
    for (asked, permissions) in
        [("patient/Observation.read", "rs"), ("patient/Observation.write", "cud")]
    {
        let offered = ScopeSet::parse(&world.offered("writer", asked).await.unwrap()).unwrap();
        let only = ScopeSet::parse(&format!("patient/Observation.{permissions}")).unwrap();
        assert!(only.covers(&offered), "{asked}");
    }
}

#[tokio::test]
async fn a_scope_outside_the_grammar_fails_the_whole_request() {
    let world = World::new().await;
    let many = vec!["patient/Patient.rs"; 10_000].join(" ");
    for bad in [
        "openid system:Patient.read",
        "Patient/*.read",
        "patient/*.read%20system/*.*",
        "patient/*.rs?category=x",
        "patient/Observation.rs?_has=x",
        "patient/Observation.RS",
        "patient/observation.rs",
        "PATIENT/Observation.rs",
        "patient/Observation.sr",
        "patient/Observation.rrs",
        "patient/Observation.",
        "patient/Observation.rs\0",
        "patient/Observation.rs  openid",
        " openid",
        "openid\tprofile",
        "patient/Patient.rs system/Patient.rs",
        "patient//Patient.rs",
        &many,
    ] {
        let scope = world.offered("web", bad).await;
        assert_eq!(scope, Err(Reject::ScopeMalformed), "{}", &bad[..bad.len().min(60)]);
    }
}

#[tokio::test]
async fn a_wildcard_is_refused_or_becomes_registered_names_before_anybody_is_asked() {
    let world = World::new().await;
    for wildcard in ["patient/*.rs", "patient/*.*", "patient/Observation.*", "user/*.read"] {
        let asked = format!("openid {wildcard}");
        assert_eq!(world.offered("web", &asked).await, Err(Reject::ScopeWildcard), "{wildcard}");
    }
    let offered = world.offered("expander", "openid patient/*.rs").await.unwrap();
    assert_eq!(offered, "openid patient/Condition.rs patient/Observation.rs patient/Patient.rs");
    let offered = world.offered("expander", "patient/*.cruds").await.unwrap();
    assert!(!offered.contains('*') && !offered.contains("user/"), "{offered}");
    assert_eq!(world.offered("expander", "system/*.rs").await, Err(Reject::ScopeEmpty));

    let mut browser = world.begin(&ask("expander", "patient/*.rs")).await;
    world.sign_in(&mut browser, "amina").await;
    let scopes = "patient/Condition.rs patient/Patient.rs";
    let code = world.allow(&browser, scopes, Duration::Day).await;
    let response = world.token("expander", &redemption(&code)).await.unwrap();
    assert_eq!(text(&response, "scope"), scopes);
}

#[tokio::test]
async fn an_expanded_wildcard_is_no_wider_than_the_registration() {
    let world = World::new().await;
    let app = [GrantType::AuthorizationCode, GrantType::RefreshToken];
    let narrow = ClientDraft {
        wildcard: Wildcard::Expand,
        ..draft("narrow", ClientAuthentication::None, &app, "patient/Patient.rs")
    };
    world.register(narrow).await;
    let offered = world.offered("narrow", "patient/*.cruds openid").await.unwrap();
    assert_eq!(offered, "patient/Patient.rs");
}
