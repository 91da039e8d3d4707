//! What people meet.

use http::{Method, StatusCode, header};

use crate::world::{
    Browser, CALLBACK, ISSUER, LABS, PASSWORD, Reply, VERIFIER, World, claims, encode, parameters,
    request, returned,
};

fn is_a_safe_page(reply: &Reply) {
    let policy = reply.header(header::CONTENT_SECURITY_POLICY);
    for part in
        ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"]
    {
        assert!(policy.contains(part), "{policy}");
    }
    assert_eq!(reply.header(header::X_FRAME_OPTIONS), "DENY");
    assert_eq!(reply.header(header::REFERRER_POLICY), "no-referrer");
    assert_eq!(reply.header(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
    assert_eq!(reply.header(header::CACHE_CONTROL), "no-store");
    assert_eq!(reply.header(header::CONTENT_TYPE), "text/html; charset=utf-8");
    assert!(reply.headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).is_none());
    assert!(!reply.header("x-correlation-id").is_empty());
}

#[tokio::test]
async fn a_person_signs_in_ticks_one_category_and_the_app_gets_just_that() {
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    let page =
        browser.authorize("app", "openid fhirUser launch/patient patient/Observation.rs").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    is_a_safe_page(&page);
    assert!(page.body.contains("Lab &#60;Trends&#62;") || page.body.contains("Lab &lt;Trends&gt;"));
    let page = browser.sign_in(&page, "amina", PASSWORD).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    is_a_safe_page(&page);
    let policy = page.header(header::CONTENT_SECURITY_POLICY);
    assert!(policy.ends_with("form-action 'self' https://app.example"), "{policy}");
    assert!(page.body.contains("Laboratory results") && page.body.contains("amina Diallo (yours)"));

    let reply = browser.approve(&page, &["openid", "fhirUser", LABS], "1d").await;
    let answer = returned(&reply);
    assert_eq!((answer["state"].as_str(), answer["iss"].as_str()), ("st&te", ISSUER));
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", "app"),
        ("code", &*answer["code"]),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let reply = world.post("/oauth/token", &[], &form).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    assert_eq!(reply.header(header::CACHE_CONTROL), "no-store");
    assert_eq!(reply.header(header::PRAGMA), "no-cache");
    let tokens = reply.json();
    assert_eq!(tokens["patient"], "pat-a");
    let granted = tokens["scope"].as_str().unwrap();
    assert!(granted.contains(LABS) && !granted.contains("Observation.rs "), "{granted}");
    let token = tokens["access_token"].as_str().unwrap();
    assert_eq!(claims(token)["aud"], "https://localhost:8443/fhir");

    let bearer = format!("Bearer {token}");
    let authorization = [("authorization", &*bearer)];
    let me = world.get("/oauth/userinfo", &authorization).await;
    assert_eq!(me.status, StatusCode::OK, "{}", me.body);
    assert_eq!(me.json()["fhirUser"], "https://localhost:8443/fhir/Patient/pat-a");
    // The record server is away: nothing but that is said.
    let labs = world.get("/fhir/Observation?category=laboratory", &authorization).await;
    assert!(labs.status.is_server_error(), "{}", labs.body);
    assert_eq!(labs.json()["resourceType"], "OperationOutcome");
    let reply = world.post("/oauth/revoke", &[], &[("client_id", "app"), ("token", token)]).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    let me = world.get("/oauth/userinfo", &authorization).await;
    assert_eq!(me.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        me.header(header::WWW_AUTHENTICATE),
        "Bearer realm=\"phiward\", error=\"invalid_token\""
    );
}

#[tokio::test]
async fn who_acts_for_another_is_asked_whose_record() {
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    let page = browser.authorize("app", "launch/patient patient/Observation.rs").await;
    let page = browser.sign_in(&page, "dana", PASSWORD).await;
    is_a_safe_page(&page);
    assert!(page.body.contains("name=\"patient\" value=\"pat-a\""), "{}", page.body);
    let (id, csrf) = (page.field("request"), page.field("csrf"));
    let form = [("request", &*id), ("csrf", &*csrf), ("patient", "pat-x")];
    let refused = browser.post("/patient", &form).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    is_a_safe_page(&refused);
    let form = [("request", &*id), ("csrf", &*csrf), ("patient", "pat-a")];
    let reply = browser.post("/patient", &form).await;
    let page = browser.follow(reply).await;
    assert!(page.body.contains("Amina Diallo</strong>, not your own"), "{}", page.body);
    let (id, csrf) = (page.field("request"), page.field("csrf"));
    let form = [("request", &*id), ("csrf", &*csrf), ("decision", "deny")];
    let answer = returned(&browser.post("/consent", &form).await);
    assert_eq!(answer["error"], "access_denied");
    // Signed in already: the next request needs no password.
    let page = browser.authorize("app", "launch/patient patient/Observation.rs").await;
    assert!(page.body.contains("name=\"patient\""), "{}", page.body);
}

#[tokio::test]
async fn a_wrong_password_is_said_on_the_same_page() {
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    let page = browser.authorize("app", "openid").await;
    for username in ["amina", "nobody", "<b>"] {
        let again = browser.sign_in(&page, username, "wrong").await;
        assert_eq!(again.status, StatusCode::UNAUTHORIZED);
        is_a_safe_page(&again);
        assert!(again.body.contains("The username or password is not right."));
        assert!(!again.body.contains("<b>") && !again.body.contains("wrong\""));
    }
    let page = browser.sign_in(&page, "amina", PASSWORD).await;
    assert!(page.body.contains("decision"), "{}", page.body);
}

#[tokio::test]
async fn a_form_of_another_browser_or_site_counts_for_nothing() {
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    let page = browser.authorize("app", "openid").await;
    let (id, csrf) = (page.field("request"), page.field("csrf"));
    let form = [("request", &*id), ("csrf", &*csrf), ("username", "amina"), ("password", PASSWORD)];
    // Another browser, with a cookie of its own and with none.
    let mut other = Browser::new(&world);
    let refused = other.post("/login", &form).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    other.authorize("app", "openid").await;
    assert_eq!(other.post("/login", &form).await.status, StatusCode::FORBIDDEN);
    // The same browser, sent by another site.
    let cookie = browser.cookies.iter().map(|(n, v)| format!("{n}={v}")).next().unwrap();
    for hostile in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")] {
        let reply = world.post("/login", &[("cookie", &cookie), hostile], &form).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{hostile:?}");
        assert!(reply.headers.get(header::SET_COOKIE).is_none());
        is_a_safe_page(&reply);
    }
    // Without the token, or with that of another request.
    let page = browser.authorize("app", "openid").await;
    let foreign = page.field("csrf");
    for csrf in ["", "00", &*foreign] {
        let form =
            [("request", &*id), ("csrf", csrf), ("username", "amina"), ("password", PASSWORD)];
        assert_eq!(browser.post("/login", &form).await.status, StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn a_decision_counts_once() {
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    let page = browser.authorize("app", "openid").await;
    let page = browser.sign_in(&page, "amina", PASSWORD).await;
    assert!(returned(&browser.approve(&page, &["openid"], "once").await).contains_key("code"));
    let again = browser.approve(&page, &["openid"], "once").await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
    is_a_safe_page(&again);
}

#[tokio::test]
async fn an_unregistered_return_address_is_never_followed() {
    let world = World::new().await;
    for uri in [
        "https://app.example.evil.example/callback",
        "https://app.example/callback/",
        "https://app.example/callback?x=y",
        "HTTPS://app.example/callback",
        "javascript:alert(1)",
        "https://app.example/callback%0d%0aSet-Cookie:a=b",
    ] {
        let mut form = parameters("app", "openid");
        form.retain(|(name, _)| *name != "redirect_uri");
        form.push(("redirect_uri", uri));
        let reply = world.get(&format!("/oauth/authorize?{}", encode(&form)), &[]).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{uri}");
        assert!(reply.headers.get(header::LOCATION).is_none());
        assert!(!reply.body.contains("evil"));
        is_a_safe_page(&reply);
    }
    let mut twice = parameters("app", "openid");
    twice.push(("redirect_uri", CALLBACK));
    let reply = world.get(&format!("/oauth/authorize?{}", encode(&twice)), &[]).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_authorization_request_may_be_posted_and_errors_go_to_the_app() {
    let world = World::new().await;
    let form = parameters("app", "openid");
    let posted = world.post("/oauth/authorize", &[("origin", "https://app.example")], &form).await;
    assert_eq!(posted.status, StatusCode::SEE_OTHER);
    assert!(posted.header(header::LOCATION).starts_with("/login?request="));
    assert!(posted.headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).is_none());
    let form = parameters("app", "patient/*.rs");
    let reply = world.post("/oauth/authorize", &[], &form).await;
    assert_eq!(returned(&reply)["error"], "invalid_scope");
}

#[tokio::test]
async fn pages_without_a_request_and_strange_forms_are_refused() {
    let world = World::new().await;
    for path in ["/login", "/patient?request=", "/consent?request=phf_x", "/login?request=%0d%0a"] {
        let reply = world.get(path, &[]).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{path}");
        is_a_safe_page(&reply);
    }
    let json = [("content-type", "application/json")];
    let reply = world.send(request(Method::POST, "/login", &json, "{}")).await;
    assert_eq!(reply.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    is_a_safe_page(&reply);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let reply = world.send(request(Method::POST, "/consent", &form, "a=%ff")).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_demo_page_and_the_style_sheet_are_there() {
    let world = World::new().await;
    let page = world.get("/demo/callback?code=secret-code&state=x", &[]).await;
    is_a_safe_page(&page);
    assert!(!page.body.contains("secret-code"));
    let css = world.get(phiward_web::pages::css_path(), &[]).await;
    assert_eq!(css.status, StatusCode::OK);
    assert!(css.header(header::CACHE_CONTROL).contains("immutable"));
    assert_eq!(css.header(header::CONTENT_TYPE), "text/css; charset=utf-8");
}
