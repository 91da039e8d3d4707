use std::sync::LazyLock;

use crate::support::{NOW, signed, with};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::scope::ScopeSet;
use domain::{ClientId, FhirId, GrantId, PersonId, Reject, Timestamp, TokenId};
use phiward_keys::access_token::{self, AccessTokenClaims, Expected, Subject};
use phiward_keys::signing::{KeyRing, Purpose, SigningKey};
use phiward_keys::{Algorithm, hmac_sha256, id_token};
use serde_json::{Value, json};

const ISSUER: &str = "https://phi.example";
const FHIR: &str = "https://phi.example/fhir";
const EXPECTED: Expected<'static> = Expected { issuer: ISSUER, audience: FHIR };

struct Keys {
    ring: KeyRing,
    /// The ring's own keys, to sign what `sign` would never sign.
    access_token: SigningKey,
    id_token: SigningKey,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let copy = |key: &SigningKey| {
        SigningKey::from_pkcs8(key.algorithm(), key.to_pkcs8().unwrap().expose()).unwrap()
    };
    let access_token = SigningKey::generate(Algorithm::Es256).unwrap();
    let id_token = SigningKey::generate(Algorithm::Rs256).unwrap();
    let ring = KeyRing::new(copy(&access_token), copy(&id_token)).unwrap();
    Keys { ring, access_token, id_token }
});

fn claims() -> AccessTokenClaims {
    AccessTokenClaims {
        iss: ISSUER.into(),
        sub: Subject::Person(PersonId::parse("p_amina").unwrap()),
        aud: FHIR.into(),
        exp: NOW.plus_secs(300),
        iat: NOW,
        jti: TokenId::parse("t1").unwrap(),
        client_id: ClientId::parse("labs-app").unwrap(),
        scope: ScopeSet::parse("openid patient/Observation.rs").unwrap(),
        grant: Some(GrantId::parse("g1").unwrap()),
        patient: Some(FhirId::parse("amina").unwrap()),
        auth_time: Some(NOW.plus_secs(-20)),
    }
}

fn header() -> Value {
    json!({ "alg": "ES256", "kid": KEYS.access_token.kid(), "typ": "at+jwt" })
}

fn payload() -> Value {
    json!({
        "iss": ISSUER, "sub": "p_amina", "aud": FHIR, "exp": NOW.secs() + 300, "iat": NOW.secs(),
        "jti": "t1", "client_id": "labs-app", "scope": "openid patient/Observation.rs",
        "grant": "g1", "patient": "amina", "auth_time": NOW.secs() - 20,
    })
}

fn verify(token: &str) -> Result<AccessTokenClaims, Reject> {
    access_token::verify(&KEYS.ring, token, &EXPECTED, NOW)
}

fn verify_raw(header: &Value, payload: &Value) -> Result<AccessTokenClaims, Reject> {
    verify(&signed(&KEYS.access_token, &header.to_string(), &payload.to_string()))
}

#[test]
fn what_was_signed_is_what_is_read() {
    let token = access_token::sign(&KEYS.ring, &claims()).unwrap();
    assert_eq!(verify(token.expose()), Ok(claims()));
    assert_eq!(verify_raw(&header(), &payload()), Ok(claims()));

    let machine = AccessTokenClaims {
        sub: Subject::Client(ClientId::parse("labs-app").unwrap()),
        grant: None,
        patient: None,
        auth_time: None,
        ..claims()
    };
    let token = access_token::sign(&KEYS.ring, &machine).unwrap();
    assert_eq!(verify(token.expose()), Ok(machine));
}

#[test]
fn every_single_bit_change_is_rejected() {
    let token = access_token::sign(&KEYS.ring, &claims()).unwrap();
    let bytes = token.expose().as_bytes();
    let mut tried = 0;
    for byte in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.to_vec();
            changed[byte] ^= 1 << bit;
            // The eighth bit makes it no UTF-8, which cannot even be asked about.
            if let Ok(changed) = String::from_utf8(changed) {
                assert!(verify(&changed).is_err(), "byte {byte} bit {bit}");
                tried += 1;
            }
        }
    }
    assert_eq!(tried, bytes.len() * 7);
}

#[test]
fn a_token_cut_short_or_lengthened_is_rejected() {
    let token = access_token::sign(&KEYS.ring, &claims()).unwrap();
    let token = token.expose();
    for len in 0..token.len() {
        assert!(verify(&token[..len]).is_err(), "{len}");
    }
    for tail in ["=", "A", ".", ".A", " ", "\n", "\0"] {
        assert_eq!(verify(&format!("{token}{tail}")).unwrap_err().status(), 401, "{tail:?}");
        assert_eq!(verify(&format!("{tail}{token}")), Err(Reject::TokenMalformed), "{tail:?}");
    }
}

#[test]
fn the_algorithm_is_ours_to_say() {
    for alg in ["none", "None", "NONE", "", "HS256", "es256", "ES256K", "A256GCM"] {
        let header = with(&header(), "alg", alg.into());
        assert_eq!(verify_raw(&header, &payload()), Err(Reject::TokenAlgorithm), "{alg}");
        let unsigned = format!(
            "{}.{}.",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(payload().to_string())
        );
        assert_eq!(verify(&unsigned), Err(Reject::TokenAlgorithm), "{alg}");
    }
    // A known algorithm, but not the one that the key is for.
    for alg in ["RS256", "ES384", "PS256", "EdDSA"] {
        let header = with(&header(), "alg", alg.into());
        assert_eq!(verify_raw(&header, &payload()), Err(Reject::TokenAlgorithm), "{alg}");
    }
    let stated = header().to_string();
    let typed = signed(&KEYS.access_token, &stated, &payload().to_string());
    let (input, _) = typed.rsplit_once('.').unwrap();
    assert_eq!(verify(&format!("{input}.")), Err(Reject::TokenSignature));
    for signature in [[0; 64].as_slice(), &[0xff; 64], &[0; 63], &[0; 65], &[0x30; 70]] {
        let forged = format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature));
        assert_eq!(verify(&forged), Err(Reject::TokenSignature));
    }
}

#[test]
fn the_public_key_is_no_hmac_secret() {
    let jwk = KEYS.access_token.public_jwk();
    let coordinate = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    let point = [vec![4], coordinate("x"), coordinate("y")].concat();
    for secret in [jwk.to_string().into_bytes(), point] {
        let header = with(&header(), "alg", "HS256".into());
        let input = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(payload().to_string())
        );
        let tag = hmac_sha256(&secret, &[input.as_bytes()]);
        let token = format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag));
        assert_eq!(verify(&token), Err(Reject::TokenAlgorithm));
    }
}

#[test]
fn only_a_key_that_we_hold_is_trusted() {
    let stranger = SigningKey::generate(Algorithm::Es256).unwrap();
    let own = header().to_string();
    let token = |header: &Value| signed(&stranger, &header.to_string(), &payload().to_string());
    assert_eq!(
        verify(&signed(&stranger, &own, &payload().to_string())),
        Err(Reject::TokenSignature)
    );
    for kid in [
        Value::Null,
        stranger.kid().into(),
        "".into(),
        "../../../dev/null".into(),
        "x' OR '1'='1".into(),
        "k".repeat(4_000).into(),
        KEYS.id_token.kid().into(),
    ] {
        let header = with(&header(), "kid", kid);
        assert_eq!(verify(&token(&header)), Err(Reject::TokenKeyUntrusted), "{header}");
    }
    for (name, value) in [
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example/cert")),
        ("jwk", stranger.public_jwk()),
        ("x5c", json!(["MIIB"])),
    ] {
        let with_pointer = with(&header(), name, value);
        assert_eq!(verify(&token(&with_pointer)), Err(Reject::TokenKeyUntrusted), "{name}");
        // Even under our own signature.
        assert_eq!(verify_raw(&with_pointer, &payload()), Err(Reject::TokenKeyUntrusted), "{name}");
    }
}

#[test]
fn the_id_token_key_signs_no_access_token() {
    let header = json!({ "alg": "RS256", "kid": KEYS.id_token.kid(), "typ": "at+jwt" });
    let token = signed(&KEYS.id_token, &header.to_string(), &payload().to_string());
    assert_eq!(verify(&token), Err(Reject::TokenKeyUntrusted));
}

#[test]
fn a_token_of_another_kind_is_no_access_token() {
    let id = id_token::IdTokenClaims {
        iss: ISSUER.into(),
        sub: PersonId::parse("p_amina").unwrap(),
        aud: ClientId::parse("labs-app").unwrap(),
        exp: NOW.plus_secs(300),
        iat: NOW,
        auth_time: NOW,
        nonce: Some("n".into()),
        fhir_user: None,
        at_hash: None,
    };
    let id = id_token::sign(&KEYS.ring, &id).unwrap();
    assert_eq!(verify(id.expose()), Err(Reject::TokenWrongKind));

    let client = SigningKey::generate(Algorithm::Es384).unwrap();
    for typ in [json!(null), json!("JWT"), json!("client-authentication+jwt")] {
        let header = with(&json!({ "alg": "ES384", "kid": client.kid() }), "typ", typ);
        let claims = json!({ "iss": "labs-app", "sub": "labs-app", "aud": FHIR });
        let assertion = signed(&client, &header.to_string(), &claims.to_string());
        assert_eq!(verify(&assertion), Err(Reject::TokenWrongKind));
    }
    for typ in ["JWT", "dpop+jwt", "logout+jwt", "AT+JWT", "application/at+jwt", "at+jwt ", ""] {
        let header = with(&header(), "typ", typ.into());
        assert_eq!(verify_raw(&header, &payload()), Err(Reject::TokenWrongKind), "{typ}");
    }
}

#[test]
fn headers_that_ask_for_another_treatment_are_malformed() {
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("enc", json!("A256GCM")),
        ("p2c", json!(1_000_000_000)),
        ("cty", json!("JWT")),
        ("x5t", json!("AAAA")),
    ] {
        let header = with(&header(), name, value);
        assert_eq!(verify_raw(&header, &payload()), Err(Reject::TokenMalformed), "{name}");
    }
    for (name, value) in [("alg", json!(null)), ("alg", json!(["ES256"])), ("typ", json!(1))] {
        let header = with(&header(), name, value);
        assert_eq!(verify_raw(&header, &payload()), Err(Reject::TokenMalformed), "{header}");
    }
}

#[test]
fn repeated_members_are_malformed_even_when_we_signed_them() {
    let twice = |object: &Value, member: &str| {
        let text = object.to_string();
        format!("{},{member}}}", text.strip_suffix('}').unwrap())
    };
    let key = &KEYS.access_token;
    for member in [r#""alg":"ES256""#, r#""typ":"at+jwt""#, r#""\u0061lg":"none""#] {
        let token = signed(key, &twice(&header(), member), &payload().to_string());
        assert_eq!(verify(&token), Err(Reject::TokenMalformed), "{member}");
    }
    for member in [r#""sub":"p_omar""#, r#""scope":"""#, r#""patie\u006et":"omar""#] {
        let token = signed(key, &header().to_string(), &twice(&payload(), member));
        assert_eq!(verify(&token), Err(Reject::TokenMalformed), "{member}");
    }
}

#[test]
fn only_the_compact_form_in_its_one_spelling_is_read() {
    let token = signed(&KEYS.access_token, &header().to_string(), &payload().to_string());
    let parts: Vec<_> = token.split('.').collect();
    let json_form = json!({
        "protected": parts[0], "payload": parts[1], "signature": parts[2],
    });
    let padded = format!("{}=.{}.{}", parts[0], parts[1], parts[2]);
    let five = format!("{token}.AAAA.AAAA");
    let long = signed(
        &KEYS.access_token,
        &header().to_string(),
        &with(&payload(), "scope", "openid ".repeat(2_000).into()).to_string(),
    );
    let not_utf8 =
        format!("{}.{}.{}", URL_SAFE_NO_PAD.encode(b"{\"alg\":\"\xff\"}"), parts[1], parts[2]);
    for bad in [json_form.to_string(), padded, five, long, not_utf8, String::new(), "..".into()] {
        assert_eq!(verify(&bad), Err(Reject::TokenMalformed));
    }
    let key = &KEYS.access_token;
    for bad in ["", "[]", "{", "\"x\"", "{} {}"] {
        let token = signed(key, &header().to_string(), bad);
        assert_eq!(verify(&token), Err(Reject::TokenMalformed), "{bad}");
    }
}

#[test]
fn each_claim_rule_refuses_what_breaks_it() {
    for (name, value) in [
        ("iss", json!("https://phi.example/")),
        ("iss", json!("https://other.example")),
        ("iss", json!([ISSUER])),
        ("aud", json!("https://phi.example/fhir/")),
        ("aud", json!([FHIR])),
        ("aud", json!([FHIR, "https://other.example"])),
        ("aud", json!("https://phi.example/fhi")),
        ("sub", json!("p_")),
        ("sub", json!("other-client")),
        ("sub", json!("amina/../omar")),
        ("client_id", json!("a b")),
        ("jti", json!("")),
        ("jti", json!(7)),
        ("scope", json!("patient/*.rs")),
        ("scope", json!(["openid"])),
        ("scope", json!("openid  openid")),
        ("patient", json!("..")),
        ("grant", json!(1)),
        ("auth_time", json!("now")),
        ("exp", json!("1800000300")),
        ("exp", json!(NOW.secs() as f64 + 300.5)),
        ("exp", json!(NOW.secs() + access_token::MAX_LIFETIME_SECS + 1)),
        ("exp", json!(i64::MAX)),
        ("exp", json!(u64::MAX)),
        ("iat", json!(NOW.secs() + 300)),
        ("iat", json!(i64::MIN)),
        ("cnf", json!({ "jkt": "x" })),
        ("nbf", json!(NOW.secs())),
        ("unheard_of", json!(true)),
    ] {
        let changed = with(&payload(), name, value);
        assert_eq!(verify_raw(&header(), &changed), Err(Reject::TokenClaims), "{changed}");
    }
}

#[test]
fn a_missing_claim_is_not_made_up() {
    for name in ["iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope"] {
        let changed = with(&payload(), name, Value::Null);
        assert_eq!(verify_raw(&header(), &changed), Err(Reject::TokenClaims), "{name}");
    }
}

#[test]
fn time_has_sharp_edges() {
    let at = |payload: &Value, now: Timestamp| {
        let token = signed(&KEYS.access_token, &header().to_string(), &payload.to_string());
        access_token::verify(&KEYS.ring, &token, &EXPECTED, now).map(|_| ())
    };
    let exp = NOW.plus_secs(300);
    assert_eq!(at(&payload(), exp.plus_millis(-1)), Ok(()));
    assert_eq!(at(&payload(), exp), Err(Reject::TokenExpired));
    assert_eq!(at(&payload(), Timestamp::from_millis(i64::MAX)), Err(Reject::TokenExpired));
    for (ahead, answer) in
        [(9, Ok(())), (10, Ok(())), (60, Ok(())), (61, Err(Reject::TokenNotYetValid))]
    {
        let early = with(&payload(), "iat", json!(NOW.secs() + ahead));
        assert_eq!(at(&early, NOW), answer, "{ahead}");
    }
    assert_eq!(at(&payload(), Timestamp::from_millis(i64::MIN)), Err(Reject::TokenNotYetValid));
    let hour = with(&payload(), "exp", json!(NOW.secs() + access_token::MAX_LIFETIME_SECS));
    assert_eq!(at(&hour, NOW), Ok(()));
}

#[test]
fn what_would_never_verify_is_not_signed() {
    let sign = |claims| access_token::sign(&KEYS.ring, &claims).is_ok();
    assert!(!sign(AccessTokenClaims { exp: NOW, ..claims() }));
    assert!(!sign(AccessTokenClaims { exp: NOW.plus_secs(3_601), ..claims() }));
    let other = Subject::Client(ClientId::parse("other").unwrap());
    assert!(!sign(AccessTokenClaims { sub: other, ..claims() }));
    let posing = ClientId::parse("p_amina").unwrap();
    let sub = Subject::Client(posing.clone());
    assert!(!sign(AccessTokenClaims { sub, client_id: posing, ..claims() }));
}

#[test]
fn a_kept_ring_verifies_what_it_signed_before() {
    let kept = KEYS.ring.to_bytes().unwrap();
    let again = KeyRing::from_bytes(kept.expose()).unwrap();
    assert_eq!(again.jwks(), KEYS.ring.jwks());
    let token = access_token::sign(&KEYS.ring, &claims()).unwrap();
    assert!(access_token::verify(&again, token.expose(), &EXPECTED, NOW).is_ok());
    for len in [0, 1, 4, 5, kept.expose().len() - 1] {
        assert!(KeyRing::from_bytes(&kept.expose()[..len]).is_err());
    }
    let longer = [kept.expose().as_slice(), &[0]].concat();
    assert!(KeyRing::from_bytes(&longer).is_err());
}

#[test]
fn a_key_that_no_longer_signs_still_verifies_while_it_is_trusted() {
    let old = access_token::sign(&KEYS.ring, &claims()).unwrap();
    let fresh = || {
        KeyRing::new(
            SigningKey::generate(Algorithm::Es256).unwrap(),
            SigningKey::from_pkcs8(Algorithm::Rs256, KEYS.id_token.to_pkcs8().unwrap().expose())
                .unwrap(),
        )
        .unwrap()
    };
    let without = fresh();
    let answer = access_token::verify(&without, old.expose(), &EXPECTED, NOW);
    assert_eq!(answer, Err(Reject::TokenKeyUntrusted));

    let published = phiward_keys::jwk::JwkSet::parse(&KEYS.ring.jwks().to_string()).unwrap();
    let key = published.find(KEYS.access_token.kid(), Algorithm::Es256).unwrap();
    assert!(fresh().also_trusting(Purpose::IdToken, key).is_err());
    let renamed = with(&KEYS.access_token.public_jwk(), "kid", "2026".into());
    let renamed = phiward_keys::jwk::JwkSet::parse(&json!({ "keys": [renamed] }).to_string());
    let renamed = renamed.unwrap().find("2026", Algorithm::Es256).unwrap().clone();
    assert!(fresh().also_trusting(Purpose::AccessToken, &renamed).is_err());
    let trusting = fresh().also_trusting(Purpose::AccessToken, key).unwrap();
    assert!(access_token::verify(&trusting, old.expose(), &EXPECTED, NOW).is_ok());
    assert_eq!(trusting.jwks()["keys"].as_array().unwrap().len(), 3);
}

#[test]
fn the_published_set_is_public_and_complete() {
    let jwks = KEYS.ring.jwks();
    let keys = jwks["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 2);
    for (key, alg) in keys.iter().zip(["ES256", "RS256"]) {
        assert_eq!((&key["alg"], &key["use"]), (&json!(alg), &json!("sig")));
        assert_eq!(key["kid"].as_str().unwrap().len(), 43);
        for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            assert!(key.get(private).is_none());
        }
    }
    assert!(
        KeyRing::new(
            SigningKey::generate(Algorithm::Es384).unwrap(),
            SigningKey::generate(Algorithm::Rs256).unwrap()
        )
        .is_err()
    );
}

#[test]
fn an_id_token_says_what_openid_connect_asks_for() {
    let claims = id_token::IdTokenClaims {
        iss: ISSUER.into(),
        sub: PersonId::parse("p_amina").unwrap(),
        aud: ClientId::parse("labs-app").unwrap(),
        exp: NOW.plus_secs(300),
        iat: NOW,
        auth_time: NOW.plus_secs(-5),
        nonce: Some("n-0S6_WzA2Mj".into()),
        fhir_user: Some(format!("{FHIR}/Patient/amina")),
        // OpenID Connect Core A.3.
        at_hash: Some(id_token::at_hash("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y")),
    };
    let token = id_token::sign(&KEYS.ring, &claims).unwrap();
    let parts: Vec<_> = token.expose().split('.').collect();
    let decode = |part| URL_SAFE_NO_PAD.decode(part).unwrap();
    let header: Value = serde_json::from_slice(&decode(parts[0])).unwrap();
    let said: Value = serde_json::from_slice(&decode(parts[1])).unwrap();
    assert_eq!(header, json!({ "alg": "RS256", "kid": KEYS.id_token.kid(), "typ": "JWT" }));
    assert_eq!(
        said,
        json!({
            "iss": ISSUER, "sub": "p_amina", "aud": "labs-app", "exp": NOW.secs() + 300,
            "iat": NOW.secs(), "auth_time": NOW.secs() - 5, "nonce": "n-0S6_WzA2Mj",
            "fhirUser": "https://phi.example/fhir/Patient/amina",
            "at_hash": "77QmUPtjPfzWtF2AnpK9RQ",
        })
    );
}
