//! Client authentication: attacks C1 to C5, R7, E8.

use authority::PresentedCredentials as P;
use domain::{ClientId, Kind, Reject, Secret};
use keys::Algorithm;
use keys::signing::SigningKey;
use serde_json::{Value, json};

use crate::app::{Form, redemption, signed};
use crate::world::{ISSUER, USUAL, World};

const KIND: Kind = Kind::TokenRefused;

fn secret(id: &str, secret: &str) -> P {
    P::Secret { id: id.into(), secret: Secret::new(secret.into()) }
}

fn assertion(text: String) -> P {
    P::Assertion { assertion: Secret::new(text), id: None }
}

fn machine() -> Form {
    Form::of(&[("grant_type", "client_credentials"), ("scope", "system/Patient.rs")])
}

#[tokio::test]
async fn a_wrong_secret_and_an_unknown_client_are_one_answer() {
    let world = World::new().await;
    let code = world.code("server", USUAL).await;
    let right = world.secret("server");
    let flipped = format!("{}{}", &right[..52], if right.ends_with('A') { 'B' } else { 'A' });
    for wrong in [
        secret("server", ""),
        secret("server", "guess"),
        secret("server", &flipped),
        secret("server", &format!("{right} ")),
        secret("server", &right.to_lowercase()),
        secret("server", &world.secret("server2")),
        secret("nobody", &right),
        secret("no/body", &right),
    ] {
        let attempt = world.token_as(Ok(wrong), &redemption(&code));
        world.refuses(KIND, Reject::ClientAuthenticationFailed, attempt).await;
    }
    world.token("server", &redemption(&code)).await.unwrap();
}

#[tokio::test]
async fn a_confidential_client_cannot_come_as_a_public_one() {
    let world = World::new().await;
    let code = world.code("server", USUAL).await;
    let form = redemption(&code);
    let bare = || Ok(P::Bare("server".into()));
    world.refuses(KIND, Reject::ClientAuthenticationMissing, world.token_as(bare(), &form)).await;
    let nothing = || Ok(P::Nothing);
    let attempt = world.token_as(nothing(), &form);
    world.refuses(KIND, Reject::ClientAuthenticationMissing, attempt).await;
    let attempt = world.token_as(Ok(P::Bare("nobody".into())), &form);
    world.refuses(KIND, Reject::ClientAuthenticationFailed, attempt).await;
    world.token("server", &form).await.unwrap();
}

#[tokio::test]
async fn another_method_than_the_registered_one_is_a_downgrade() {
    let world = World::new().await;
    let form = redemption("x");
    let own_key = signed(&world.robot, &world.assertion_claims());
    let as_server = json!({ "iss": "server", "sub": "server", "aud": ISSUER, "jti": "1",
        "exp": world.now().secs() + 60 });
    for other in [
        secret("robot", &world.secret("server")),
        secret("web", ""),
        secret("web", &world.secret("server")),
        assertion(signed(&world.robot, &as_server)),
    ] {
        let attempt = world.token_as(Ok(other), &form);
        world.refuses(KIND, Reject::ClientAuthenticationDowngrade, attempt).await;
    }
    world.token_as(Ok(assertion(own_key)), &machine()).await.unwrap();
}

#[tokio::test]
async fn two_methods_at_once_are_ambiguous() {
    let world = World::new().await;
    let jwt = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let basic = || Some(("server".to_owned(), Secret::new(world.secret("server"))));
    let post = [("client_id", "server"), ("client_secret", "x")];
    let with_assertion = [("client_assertion", "x"), ("client_assertion_type", jwt)];
    let both = [post[1], with_assertion[0], with_assertion[1]];
    for (basic, form) in [
        (basic(), &post[..]),
        (basic(), &with_assertion[..]),
        (None, &both[..]),
        (basic(), &[("client_id", "server2")][..]),
    ] {
        let gathered = P::gather(basic, &Form::of(form).parameters());
        assert!(matches!(gathered, Ok(P::Ambiguous)), "{form:?}");
        let attempt = world.token_as(gathered, &redemption("x"));
        world.refuses(KIND, Reject::ClientAuthenticationAmbiguous, attempt).await;
    }
    // The same name twice is one method.
    let same = Form::of(&[("client_id", "server")]).parameters();
    assert!(matches!(P::gather(basic(), &same), Ok(P::Secret { .. })));
}

#[tokio::test]
async fn credentials_are_read_once_and_whole() {
    let world = World::new().await;
    for (form, reject) in [
        (vec![("client_id", "a"), ("client_id", "a")], Reject::ParameterDuplicate),
        (vec![("client_secret", "a"), ("client_secret", "a")], Reject::ParameterDuplicate),
        (vec![("client_secret", "a")], Reject::ParameterMissing),
        (vec![("client_assertion", "a")], Reject::RequestMalformed),
        (
            vec![("client_assertion", "a"), ("client_assertion_type", "urn:other")],
            Reject::RequestMalformed,
        ),
    ] {
        let gathered = P::gather(None, &Form::of(&form).parameters());
        world.refuses(KIND, reject, world.token_as(gathered, &machine())).await;
    }
}

#[tokio::test]
async fn an_assertion_is_signed_by_the_client_for_us_and_for_a_few_minutes() {
    let world = World::new().await;
    let now = world.now().secs();
    let spoil = |name: &str, value: Value| {
        let mut claims = world.assertion_claims();
        claims[name] = value;
        world.assertion(&claims)
    };
    let without = |name: &str| {
        let mut claims = world.assertion_claims();
        claims.as_object_mut().unwrap().remove(name);
        world.assertion(&claims)
    };
    let stranger = SigningKey::generate(Algorithm::Es384).unwrap();
    for bad in [
        spoil("aud", json!("https://other.example/oauth/token")),
        spoil("aud", json!([ISSUER, "https://other.example"])),
        spoil("aud", json!(format!("{ISSUER}/"))),
        spoil("exp", json!(now)),
        spoil("exp", json!(now + 86_400 * 3_650)),
        spoil("iat", json!(now + 61)),
        spoil("nbf", json!(now + 61)),
        spoil("jti", json!("")),
        without("exp"),
        without("jti"),
        without("aud"),
        signed(&stranger, &world.assertion_claims()),
    ] {
        let attempt = world.token_as(Ok(assertion(bad)), &machine());
        world.refuses(KIND, Reject::AssertionRejected, attempt).await;
    }
    // Nobody can be told who it is from.
    for bad in [spoil("sub", json!("server")), spoil("iss", json!("x")), "e30.e30.".into()] {
        let attempt = world.token_as(Ok(assertion(bad)), &machine());
        world.refuses(KIND, Reject::ClientAuthenticationFailed, attempt).await;
    }
    let (good, other) = (world.assertion(&world.assertion_claims()), Some("server".to_owned()));
    let mixed = P::Assertion { assertion: Secret::new(good.clone()), id: other };
    let attempt = world.token_as(Ok(mixed), &machine());
    world.refuses(KIND, Reject::ClientAuthenticationFailed, attempt).await;
    world.token_as(Ok(assertion(good)), &machine()).await.unwrap();
    let to_issuer = spoil("aud", json!([ISSUER]));
    world.token_as(Ok(assertion(to_issuer)), &machine()).await.unwrap();
}

#[tokio::test]
async fn an_assertion_is_good_once_at_whichever_endpoint() {
    let world = World::new().await;
    let used = world.assertion(&world.assertion_claims());
    world.token_as(Ok(assertion(used.clone())), &machine()).await.unwrap();
    let attempt = world.token_as(Ok(assertion(used.clone())), &machine());
    world.refuses(KIND, Reject::AssertionReplayed, attempt).await;
    let token = Form::of(&[("token", "x")]).parameters();
    let caller = world.caller();
    let attempt = world.authority.introspect(Ok(assertion(used.clone())), &token, &caller);
    world.refuses(KIND, Reject::AssertionReplayed, attempt).await;
    let attempt = world.authority.revoke(Ok(assertion(used)), &token, &caller);
    world.refuses(KIND, Reject::AssertionReplayed, attempt).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_parallel_uses_of_an_assertion_one_succeeds() {
    let world = std::sync::Arc::new(World::new().await);
    let jwt = world.assertion(&world.assertion_claims());
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (world, jwt) = (std::sync::Arc::clone(&world), jwt.clone());
        all.spawn(async move { world.token_as(Ok(assertion(jwt)), &machine()).await.is_ok() });
    }
    assert_eq!(all.join_all().await.into_iter().filter(|ok| *ok).count(), 1);
}

#[tokio::test]
async fn a_disabled_client_gets_nothing_anywhere() {
    let world = World::new().await;
    let tokens = world.connected("server", USUAL).await;
    let code = world.code("server", USUAL).await;
    let access = crate::app::text(&tokens, "access_token");
    let refresh = crate::app::text(&tokens, "refresh_token");
    for id in ["server", "robot"] {
        world.authority.disable_client(&ClientId::parse(id).unwrap(), "test").await.unwrap();
    }
    let reject = Reject::ClientDisabled;
    world.refuses(KIND, reject, world.token("server", &redemption(&code))).await;
    world.refuses(KIND, reject, world.refresh("server", &refresh)).await;
    world.refuses(KIND, reject, world.token("robot", &machine())).await;
    world.refuses(KIND, reject, world.introspect("server", &access)).await;
    world.refuses(KIND, reject, world.revoke("server", &refresh)).await;
    world.refuses(Kind::UserInfoRead, Reject::TokenRevoked, world.userinfo(&access)).await;
    // Who does not know the secret is not told that it is disabled.
    let attempt = world.token_as(Ok(secret("server", "guess")), &redemption(&code));
    world.refuses(KIND, Reject::ClientAuthenticationFailed, attempt).await;
}
