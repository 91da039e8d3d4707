//! The authorization request: attacks F1, F2, F4, F5, F9, F11, F16, F17, E8. Until client and
//! redirect URI belong together the answer is a page; after that, the client is told.

use domain::{ClientId, Kind, Outcome, Reject};

use crate::app::{Browser, Form, answer, ask, member, refused};
use crate::world::{CALLBACK, FHIR, ISSUER, LOOPBACK, USUAL, World};

impl World {
    /// The request is refused for this reason, recorded once; the answer's parameters if the client
    /// was told.
    async fn turns_down(&self, form: &Form, expected: Reject) -> Option<Vec<(String, String)>> {
        let mark = self.mark();
        let mut browser = Browser::default();
        let (reject, location) = refused(self.authorize(&mut browser, form).await);
        assert_eq!(reject, expected, "{form:?}");
        let refusal = (Kind::AuthorizationRequested, Outcome::Refused(expected));
        assert_eq!(self.story(mark), [refusal], "{form:?}");
        location.map(|location| answer(&location))
    }

    /// Refused on a page of ours: nothing is sent to anybody.
    async fn on_a_page(&self, form: &Form, expected: Reject) {
        assert_eq!(self.turns_down(form, expected).await, None, "{form:?}");
    }

    /// The client is told, with `iss` and its `state`, and no code.
    async fn told(&self, form: &Form, expected: Reject) {
        let answer = self.turns_down(form, expected).await.expect("a redirect");
        assert_eq!(member(&answer, "error"), expected.oauth().unwrap().as_str());
        assert_eq!(member(&answer, "iss"), ISSUER);
        assert_eq!(member(&answer, "state"), "st&te");
        assert!(answer.iter().all(|(name, _)| name != "code"));
        let fixed = member(&answer, "error_description");
        assert!(fixed.starts_with(expected.text()), "{fixed}");
    }
}

#[tokio::test]
async fn a_good_request_waits_for_its_person() {
    let world = World::new().await;
    let mark = world.mark();
    let browser = world.begin(&ask("web", USUAL)).await;
    assert!(browser.flow.starts_with("phf_") && browser.cookie.starts_with("phb_"));
    assert_eq!(world.story(mark), [(Kind::AuthorizationRequested, Outcome::Success)]);
}

#[tokio::test]
async fn nothing_is_sent_to_a_redirect_uri_that_is_not_registered() {
    let world = World::new().await;
    for uri in [
        "https://app.example.evil.com/callback",
        "https://sub.app.example/callback",
        "https://app.example@evil.com/callback",
        "https://app.example\\@evil.com/callback",
        "https://app.example/..;/callback",
        "https://app.example/x/%2e%2e/callback",
        "https://app.example:443/callback",
        "https://app.example/callback/",
        "https://app.example/callback#x",
        "https://app.example/callback?x=1",
        "https://app.example/Callback",
        "https://APP.example/callback",
        "https://xn--pp-yja.example/callback",
        "http://app.example/callback",
        "https://app.example/callback\r\nSet-Cookie: a=b",
        "https://app.example/callback%0d%0a",
        "javascript:alert(1)",
        "//evil.example",
        "/callback",
        "http://127.0.0.1:9999/other",
        "http://localhost:9999/callback",
        "http://[::1]:9999/callback",
    ] {
        let form = ask("web", USUAL).with("redirect_uri", uri);
        world.on_a_page(&form, Reject::RedirectMismatch).await;
    }
    let form = ask("web", USUAL).without("redirect_uri");
    world.on_a_page(&form, Reject::ParameterMissing).await;
    let form = ask("robot", USUAL);
    world.on_a_page(&form, Reject::RedirectMismatch).await;
}

#[tokio::test]
async fn a_native_app_may_listen_on_any_port() {
    let world = World::new().await;
    for uri in [LOOPBACK, "http://127.0.0.1:1234/callback", "http://127.0.0.1/callback"] {
        world.begin(&ask("web", USUAL).with("redirect_uri", uri)).await;
    }
}

#[tokio::test]
async fn an_unknown_or_disabled_client_is_told_nothing() {
    let world = World::new().await;
    for id in ["nobody", "web/../server", "p_amina", ""] {
        let reject = if id.is_empty() { Reject::ParameterMissing } else { Reject::ClientUnknown };
        world.on_a_page(&ask(id, USUAL), reject).await;
    }
    let web = ClientId::parse("web").unwrap();
    world.authority.disable_client(&web, "test").await.unwrap();
    world.on_a_page(&ask("web", USUAL), Reject::ClientUnknown).await;
}

#[tokio::test]
async fn a_repeated_parameter_is_refused() {
    let world = World::new().await;
    for name in ["client_id", "redirect_uri"] {
        let form = ask("web", USUAL).and(name, CALLBACK);
        world.on_a_page(&form, Reject::ParameterDuplicate).await;
    }
    for name in ["response_type", "scope", "nonce", "code_challenge", "aud", "prompt", "max_age"] {
        let form = ask("web", USUAL).and(name, "1").and(name, "1");
        world.told(&form, Reject::ParameterDuplicate).await;
    }
    let form = ask("web", USUAL).and("state", "again");
    let answer = world.turns_down(&form, Reject::ParameterDuplicate).await.unwrap();
    assert_eq!(member(&answer, "state"), "", "neither of the two is believed");
    // Unknown ones are nobody's concern, however often.
    world.begin(&ask("web", USUAL).and("utm", "a").and("utm", "b")).await;
}

#[tokio::test]
async fn a_challenge_of_method_s256_is_always_needed() {
    let world = World::new().await;
    for client in ["web", "server"] {
        let form = ask(client, USUAL);
        for bad in [
            form.clone().without("code_challenge"),
            form.clone().without("code_challenge_method"),
            form.clone().with("code_challenge_method", "plain"),
            form.clone().with("code_challenge_method", "s256"),
            form.clone().with("code_challenge", "short"),
            form.clone().with("code_challenge", &"=".repeat(43)),
        ] {
            world.told(&bad, Reject::PkceRequired).await;
        }
    }
}

#[tokio::test]
async fn only_a_code_in_the_query_is_given() {
    let world = World::new().await;
    for kind in ["token", "id_token", "code id_token", "code token", "none", "Code"] {
        let form = ask("web", USUAL).with("response_type", kind);
        world.told(&form, Reject::ResponseTypeUnsupported).await;
    }
    for mode in ["fragment", "form_post", "query.jwt", "web_message"] {
        let form = ask("web", USUAL).and("response_mode", mode);
        world.told(&form, Reject::ResponseTypeUnsupported).await;
    }
    let form = ask("web", USUAL).without("response_type");
    world.told(&form, Reject::ParameterMissing).await;
    world.begin(&ask("web", USUAL).and("response_mode", "query")).await;
}

#[tokio::test]
async fn request_objects_are_refused_and_never_fetched() {
    let world = World::new().await;
    let form = ask("web", USUAL).and("request", "eyJhbGciOiJub25lIn0.e30.");
    world.told(&form, Reject::RequestObjectRefused).await;
    for uri in ["https://evil.example/request.jwt", "urn:ietf:params:oauth:request_uri:1"] {
        let form = ask("web", USUAL).and("request_uri", uri);
        world.told(&form, Reject::RequestUriRefused).await;
    }
}

#[tokio::test]
async fn a_request_for_records_names_this_fhir_server() {
    let world = World::new().await;
    for aud in ["https://evil.example/fhir", ISSUER, "https://phi.example/fhir//", "fhir"] {
        let form = ask("web", USUAL).with("aud", aud);
        world.told(&form, Reject::AudienceUnknown).await;
    }
    for scope in ["patient/Patient.rs", "user/Observation.rs", "launch/patient"] {
        world.told(&ask("web", scope).without("aud"), Reject::AudienceUnknown).await;
    }
    let form = ask("web", USUAL).and("resource", "https://evil.example/fhir");
    world.told(&form, Reject::AudienceUnknown).await;
    let slash = format!("{FHIR}/");
    world.begin(&ask("web", USUAL).with("aud", &slash)).await;
    world.begin(&ask("web", USUAL).without("aud").and("resource", FHIR)).await;
    world.begin(&ask("web", "openid profile").without("aud")).await;
}

#[tokio::test]
async fn a_launch_that_this_server_did_not_make_is_refused() {
    let world = World::new().await;
    let form = ask("web", USUAL).and("launch", "abc");
    world.told(&form, Reject::LaunchRejected).await;
}

#[tokio::test]
async fn a_client_without_the_code_grant_cannot_ask_a_person() {
    let world = World::new().await;
    // Registration keeps redirect URIs and the grant together, so there is no address to tell it at.
    for client in ["robot", "batch", "legacy"] {
        world.on_a_page(&ask(client, USUAL), Reject::RedirectMismatch).await;
    }
}

#[tokio::test]
async fn state_comes_back_inert_or_not_at_all() {
    let world = World::new().await;
    let wild = "a\r\nSet-Cookie: b=c&code=phc_x#<script>";
    let form = ask("web", USUAL).with("state", wild).with("response_type", "token");
    let mut browser = Browser::default();
    let (_, location) = refused(world.authorize(&mut browser, &form).await);
    let location = location.unwrap();
    assert!(location.bytes().all(|b| b.is_ascii_graphic()), "{location}");
    assert!(!location.contains(['<', '#']));
    let answer = answer(&location);
    assert_eq!(member(&answer, "state"), wild);
    assert_eq!(member(&answer, "code"), "");

    let form = ask("web", USUAL).with("state", &"x".repeat(2_049));
    let answer = world.turns_down(&form, Reject::RequestTooLarge).await.unwrap();
    assert_eq!(member(&answer, "state"), "");
    let form = ask("web", USUAL).with("nonce", &"x".repeat(2_049));
    world.told(&form, Reject::RequestTooLarge).await;
    world.begin(&ask("web", USUAL).without("state")).await;
}

#[tokio::test]
async fn nobody_is_answered_for_silently() {
    let world = World::new().await;
    let form = ask("web", USUAL).with("prompt", "none");
    world.told(&form, Reject::LoginRequired).await;

    let mut browser = world.begin(&ask("web", USUAL)).await;
    world.sign_in(&mut browser, "amina").await;
    let (reject, _) = refused(world.authorize(&mut browser.clone(), &form).await);
    assert_eq!(reject, Reject::InteractionRequired);
    world.later(60);
    let aged = form.with("max_age", "60");
    let (reject, _) = refused(world.authorize(&mut browser.clone(), &aged).await);
    assert_eq!(reject, Reject::LoginRequired, "the sign-in is too old to count");
}

#[tokio::test]
async fn prompt_and_max_age_are_of_their_form() {
    let world = World::new().await;
    for (name, value) in [
        ("prompt", "none login"),
        ("prompt", "nothing"),
        ("prompt", "login  consent"),
        ("max_age", "-1"),
        ("max_age", "soon"),
        ("max_age", "1e3"),
        ("max_age", "99999999999999999999"),
    ] {
        world.told(&ask("web", USUAL).with(name, value), Reject::RequestMalformed).await;
    }
    world.begin(&ask("web", USUAL).with("prompt", "select_account consent")).await;
}
