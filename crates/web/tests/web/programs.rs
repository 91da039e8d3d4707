//! What programs meet.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{Method, StatusCode, header};

use crate::world::{World, request, send};

const METADATA: [&str; 6] = [
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    "/.well-known/oauth-protected-resource/fhir",
    "/fhir/.well-known/smart-configuration",
    "/oauth/jwks",
    "/fhir/metadata",
];

#[tokio::test]
async fn documents_are_public_and_never_follow_the_host() {
    let world = World::new().await;
    for path in METADATA {
        let reply = world.get(path, &[("origin", "https://any.example")]).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.body);
        assert_eq!(reply.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), "*", "{path}");
        let hostile = [
            ("host", "evil.example"),
            ("x-forwarded-host", "evil.example"),
            ("forwarded", "host=evil.example;proto=http"),
        ];
        let other = world.get(path, &hostile).await;
        assert_eq!(other.body, reply.body, "{path}");
        assert!(!other.body.contains("evil"), "{path}");
    }
    let smart =
        world.get("/fhir/.well-known/smart-configuration", &[("accept", "text/html")]).await;
    assert_eq!(smart.header(header::CONTENT_TYPE), "application/json");
    assert_eq!(smart.json()["token_endpoint"], "https://localhost:8443/oauth/token");
}

#[tokio::test]
async fn other_origins_read_what_is_meant_for_them() {
    let world = World::new().await;
    let registered = ["https://app.example", "http://127.0.0.1:9999", "http://127.0.0.1:50123"];
    let strangers = ["https://evil.example", "null", "https://app.example.evil.example"];
    let ask = [("access-control-request-method", "POST")];
    let open =
        ["/oauth/token", "/oauth/revoke", "/oauth/userinfo", "/fhir/Patient/x", "/ledger/proof/x"];
    for path in open {
        for origin in registered {
            let headers = [("origin", origin), ask[0]];
            let preflight = world.send(request(Method::OPTIONS, path, &headers, "")).await;
            assert_eq!(preflight.status, StatusCode::NO_CONTENT, "{path}");
            assert_eq!(preflight.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), origin, "{path}");
            // An error is readable, too, with the headers that explain it.
            let reply = world.post(path, &[("origin", origin)], &[]).await;
            assert!(reply.status.is_client_error(), "{path}: {}", reply.status);
            assert_eq!(reply.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), origin, "{path}");
            let exposed = reply.header(header::ACCESS_CONTROL_EXPOSE_HEADERS);
            for name in ["WWW-Authenticate", "Audit-Receipt"] {
                assert!(exposed.contains(name), "{path}: {exposed}");
            }
            let vary: Vec<_> = reply.headers.get_all(header::VARY).iter().collect();
            assert!(vary.iter().any(|value| value.to_str().unwrap().contains("Origin")), "{path}");
        }
        for origin in strangers {
            let headers = [("origin", origin), ask[0]];
            for method in [Method::OPTIONS, Method::POST] {
                let reply = world.send(request(method, path, &headers, "")).await;
                let allowed = reply.headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
                assert_eq!(allowed, None, "{path} {origin}");
            }
        }
    }
    for path in ["/oauth/authorize", "/login", "/consent", "/oauth/introspect", "/api/v1/clients"] {
        let headers = [("origin", registered[0]), ask[0]];
        for method in [Method::OPTIONS, Method::GET] {
            let reply = world.send(request(method, path, &headers, "")).await;
            assert!(reply.headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).is_none(), "{path}");
        }
    }
}

#[tokio::test]
async fn a_client_error_names_the_scheme_that_was_used() {
    let world = World::new().await;
    let form = [("grant_type", "client_credentials"), ("scope", "openid")];
    let basic =
        |id: &str, secret: &str| format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    let wrong = basic("server", "wrong");
    let reply = world.post("/oauth/token", &[("authorization", &wrong)], &form).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert!(reply.header(header::WWW_AUTHENTICATE).starts_with("Basic realm="));
    let known = reply.json();
    assert_eq!(known["error"], "invalid_client");
    assert!(known["correlation_id"].as_str().unwrap().len() == 19, "{known}");
    // An unknown client reads the same.
    let unknown = basic("nobody", "wrong");
    let reply = world.post("/oauth/token", &[("authorization", &unknown)], &form).await;
    assert_eq!(reply.json()["error_description"], known["error_description"]);
    // In the form there is no scheme to name.
    let mut posted = form.to_vec();
    posted.extend([("client_id", "server"), ("client_secret", "wrong")]);
    let reply = world.post("/oauth/token", &[], &posted).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert!(reply.headers.get(header::WWW_AUTHENTICATE).is_none());
    // Two methods at once, both right.
    let right = basic("server", &world.secret);
    let mut both = form.to_vec();
    both.extend([("client_id", "server"), ("client_secret", &world.secret)]);
    let reply = world.post("/oauth/token", &[("authorization", &right)], &both).await;
    assert_eq!(
        (reply.status, reply.json()["error"].as_str()),
        (StatusCode::BAD_REQUEST, Some("invalid_request"))
    );
    // One method, right, for a grant that is not its own.
    let reply = world.post("/oauth/token", &[("authorization", &right)], &form).await;
    assert_eq!(reply.json()["error"], "unauthorized_client");
    let token = [("token", "x")];
    let reply = world.post("/oauth/introspect", &[("authorization", &right)], &token).await;
    assert_eq!((reply.status, &*reply.body), (StatusCode::OK, "{\"active\":false}"));
}

#[tokio::test]
async fn what_is_no_form_is_refused_before_it_means_anything() {
    let world = World::new().await;
    let form = ("content-type", "application/x-www-form-urlencoded");
    let cases = [
        (form.1, "a=%", StatusCode::BAD_REQUEST),
        (form.1, "a=%ff", StatusCode::BAD_REQUEST),
        (form.1, "client_id=app&client_id=app&grant_type=refresh_token", StatusCode::BAD_REQUEST),
        ("application/json", "{}", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("multipart/form-data; boundary=x", "--x--", StatusCode::UNSUPPORTED_MEDIA_TYPE),
    ];
    for (media_type, body, status) in cases {
        let headers = [("content-type", media_type)];
        let reply = world.send(request(Method::POST, "/oauth/token", &headers, body)).await;
        assert_eq!(reply.status, status, "{media_type} {body}");
        assert_eq!(reply.json()["error"], "invalid_request");
        assert_eq!(reply.header(header::CACHE_CONTROL), "no-store");
    }
    let large = "a".repeat(64 * 1024 + 1);
    let reply = world.send(request(Method::POST, "/oauth/token", &[form], &large)).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    let large = "a".repeat(1024 * 1024 + 1);
    let reply = world.send(request(Method::POST, "/fhir/Observation", &[], &large)).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(reply.json()["resourceType"], "OperationOutcome");
}

#[tokio::test]
async fn methods_and_paths_are_a_closed_list() {
    let world = World::new().await;
    let reply = world.get("/oauth/token?client_id=app", &[]).await;
    assert_eq!(
        (reply.status, reply.header(header::ALLOW)),
        (StatusCode::METHOD_NOT_ALLOWED, "POST")
    );
    for path in ["/", "/oauth/userinfo/x.css", "/fhirx", "/assets/phiward-000000000000.css"] {
        assert_eq!(world.get(path, &[]).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let proof = world.get("/ledger/proof/x", &[]).await;
    assert_eq!(proof.status, StatusCode::UNAUTHORIZED);
    assert_eq!(proof.header(header::CONTENT_TYPE), "application/problem+json");
    assert!(proof.header(header::WWW_AUTHENTICATE).starts_with("Bearer "));
    let posted = world.post("/ledger/proof/x", &[], &[]).await;
    assert_eq!(
        (posted.status, posted.header(header::ALLOW)),
        (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD")
    );
    assert_eq!(world.get("/ledger/proof", &[]).await.status, StatusCode::NOT_FOUND);
    for path in ["/api/v1/clients", "/api/v1/openapi.json", "/account", "/console"] {
        let reply = world.get(path, &[]).await;
        assert_eq!(reply.status, StatusCode::NOT_IMPLEMENTED, "{path}");
        assert_eq!(reply.header(header::CONTENT_TYPE), "application/problem+json");
        assert_eq!(reply.json()["status"], 501);
    }
    for (method, path, headers) in [
        (Method::TRACE, "/", &[][..]),
        (Method::GET, "/fhir/../oauth/jwks", &[]),
        (Method::GET, "/fhir/%2e%2e/x", &[]),
        (Method::GET, "https://evil.example/oauth/jwks", &[]),
        (Method::GET, "/oauth/jwks", &[("x-http-method-override", "DELETE")]),
        (Method::GET, "/oauth/jwks", &[("connection", "upgrade"), ("upgrade", "h2c")]),
    ] {
        let reply = world.send(request(method, path, headers, "")).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{path} {headers:?}");
        assert_eq!(reply.header(header::CONNECTION), "close");
    }
}

#[tokio::test]
async fn a_token_belongs_in_the_header() {
    let world = World::new().await;
    let reply = world.get("/oauth/userinfo", &[]).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert_eq!(reply.header(header::WWW_AUTHENTICATE), "Bearer realm=\"phiward\"");
    let reply = world.get("/oauth/userinfo?access_token=x", &[]).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let reply = world.post("/oauth/userinfo", &[], &[("access_token", "x")]).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let reply = world.get("/fhir/Patient/pat-a", &[]).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert!(reply.header(header::WWW_AUTHENTICATE).contains("resource_metadata="));
}

#[tokio::test]
async fn monitoring_is_answered_on_its_own_listener() {
    let world = World::new().await;
    for (path, text) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        assert_eq!(world.get(path, &[]).await.status, StatusCode::NOT_FOUND);
        let reply = send(world.health, request(Method::GET, path, &[], "")).await;
        assert_eq!((reply.status, &*reply.body), (StatusCode::OK, text));
    }
    let reply = send(world.health, request(Method::GET, "/metrics", &[], "")).await;
    assert!(reply.body.contains("phiward_http_answers_total{surface=\"other\",class=\"4xx\"} 2"));
}
