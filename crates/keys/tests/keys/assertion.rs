use std::sync::LazyLock;

use crate::support::{NOW, signed, with};
use domain::{ClientId, Reject, Timestamp};
use phiward_keys::Algorithm;
use phiward_keys::assertion::{self, VerifiedAssertion};
use phiward_keys::jwk::JwkSet;
use phiward_keys::signing::SigningKey;
use serde_json::{Value, json};

const TOKEN_URL: &str = "https://phi.example/oauth2/token";
const ISSUER: &str = "https://phi.example";
const AUDIENCES: &[&str] = &[TOKEN_URL, ISSUER];

static KEY: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::generate(Algorithm::Es384).unwrap());

fn set(keys: &[&SigningKey]) -> JwkSet {
    let keys: Vec<_> = keys.iter().map(|key| key.public_jwk()).collect();
    JwkSet::parse(&json!({ "keys": keys }).to_string()).unwrap()
}

fn client() -> ClientId {
    ClientId::parse("lab-robot").unwrap()
}

fn header(key: &SigningKey) -> Value {
    json!({ "alg": key.algorithm().as_str(), "kid": key.kid(), "typ": "JWT" })
}

fn payload() -> Value {
    json!({
        "iss": "lab-robot", "sub": "lab-robot", "aud": TOKEN_URL,
        "exp": NOW.secs() + 300, "iat": NOW.secs(), "jti": "once",
    })
}

fn verify_at(header: &Value, payload: &Value, now: Timestamp) -> Result<VerifiedAssertion, Reject> {
    let token = signed(&KEY, &header.to_string(), &payload.to_string());
    assertion::verify(&set(&[&KEY]), &token, &client(), AUDIENCES, now)
}

fn holds(payload: &Value) -> bool {
    verify_at(&header(&KEY), payload, NOW).is_ok()
}

#[test]
fn the_five_algorithms_verify_and_rs256_does_not() {
    for &algorithm in Algorithm::ALL {
        let key = SigningKey::generate(algorithm).unwrap();
        let token = signed(&key, &header(&key).to_string(), &payload().to_string());
        let answer = assertion::verify(&set(&[&key]), &token, &client(), AUDIENCES, NOW);
        if algorithm == Algorithm::Rs256 {
            assert_eq!(answer, Err(Reject::AssertionRejected));
        } else {
            let verified = answer.unwrap();
            assert_eq!((verified.client.as_str(), verified.jti.as_str()), ("lab-robot", "once"));
            assert!(verified.remember_until() > verified.exp);
        }
    }
}

#[test]
fn the_audience_is_one_of_ours_alone() {
    for good in [json!(TOKEN_URL), json!(ISSUER), json!([TOKEN_URL]), json!([ISSUER])] {
        assert!(holds(&with(&payload(), "aud", good.clone())), "{good}");
    }
    for bad in [
        json!(null),
        json!([]),
        json!([TOKEN_URL, ISSUER]),
        json!([TOKEN_URL, "https://other.example"]),
        json!([TOKEN_URL, TOKEN_URL]),
        json!("https://other.example/token"),
        json!("https://phi.example/"),
        json!(""),
        json!({ "0": TOKEN_URL }),
        json!([[TOKEN_URL]]),
    ] {
        assert!(!holds(&with(&payload(), "aud", bad.clone())), "{bad}");
    }
}

#[test]
fn issuer_subject_and_client_are_one() {
    for name in ["iss", "sub"] {
        for bad in [json!(null), json!("other"), json!(["lab-robot"]), json!("LAB-ROBOT")] {
            assert!(!holds(&with(&payload(), name, bad.clone())), "{name} {bad}");
        }
    }
    // Both the same, signed by the same key, but another client's name.
    let other = with(&with(&payload(), "iss", "other".into()), "sub", "other".into());
    assert!(!holds(&other));
}

#[test]
fn an_assertion_is_short_lived_and_of_now() {
    let exp = |ahead: i64| holds(&with(&payload(), "exp", json!(NOW.secs() + ahead)));
    assert!(exp(1) && exp(300) && exp(310));
    assert!(!exp(0) && !exp(-1) && !exp(311) && !exp(10 * 365 * 86_400));
    for bad in [json!(null), json!("1800000100"), json!(i64::MAX), json!(1e300)] {
        assert!(!holds(&with(&payload(), "exp", bad.clone())), "{bad}");
    }
    for name in ["iat", "nbf"] {
        let at = |ahead: i64| holds(&with(&payload(), name, json!(NOW.secs() + ahead)));
        assert!(at(-1_000) && at(10) && at(60), "{name}");
        assert!(!at(61), "{name}");
        assert!(!holds(&with(&payload(), name, json!("x"))), "{name}");
        assert!(holds(&with(&payload(), name, Value::Null)), "{name}");
    }
    let edge = |now| verify_at(&header(&KEY), &payload(), now).is_ok();
    assert!(edge(NOW.plus_secs(300).plus_millis(-1)));
    assert!(!edge(NOW.plus_secs(300)));
    // Issued after its own end.
    let reversed =
        with(&with(&payload(), "exp", json!(NOW.secs() + 10)), "iat", json!(NOW.secs() + 20));
    assert!(!holds(&reversed));
}

#[test]
fn an_id_is_demanded_and_bounded() {
    assert!(holds(&with(&payload(), "jti", "j".repeat(assertion::MAX_JTI).into())));
    for bad in [json!(null), json!(""), json!(1), json!("j".repeat(assertion::MAX_JTI + 1))] {
        assert!(!holds(&with(&payload(), "jti", bad.clone())), "{bad}");
    }
}

#[test]
fn claims_that_we_do_not_know_are_ignored_but_never_repeated() {
    assert!(holds(&with(&payload(), "extensions", json!({ "hl7-b2b": {} }))));
    let twice = payload().to_string().replace('}', r#","jti":"again"}"#);
    let token = signed(&KEY, &header(&KEY).to_string(), &twice);
    let answer = assertion::verify(&set(&[&KEY]), &token, &client(), AUDIENCES, NOW);
    assert_eq!(answer, Err(Reject::AssertionRejected));
}

#[test]
fn the_header_names_a_registered_key_and_trusts_no_other() {
    let good = header(&KEY);
    assert!(verify_at(&good, &payload(), NOW).is_ok());
    for typ in [Value::Null, json!("jwt"), json!("client-authentication+jwt")] {
        assert!(verify_at(&with(&good, "typ", typ), &payload(), NOW).is_ok());
    }
    for (name, value) in [
        ("typ", json!("at+jwt")),
        ("typ", json!("dpop+jwt")),
        ("kid", json!(null)),
        ("kid", json!("")),
        ("kid", json!("other")),
        ("alg", json!("none")),
        ("alg", json!("HS384")),
        ("alg", json!("ES256")),
        ("alg", json!("RS384")),
        ("jku", json!("https://phi.example/jwks")),
        ("jwk", KEY.public_jwk()),
        ("x5u", json!("https://evil.example")),
        ("x5c", json!([])),
        ("crit", json!(["exp"])),
    ] {
        let bad = with(&good, name, value);
        assert_eq!(verify_at(&bad, &payload(), NOW), Err(Reject::AssertionRejected), "{bad}");
    }
}

#[test]
fn a_stranger_with_our_kid_is_still_a_stranger() {
    let stranger = SigningKey::generate(Algorithm::Es384).unwrap();
    let token = signed(&stranger, &header(&KEY).to_string(), &payload().to_string());
    let answer = assertion::verify(&set(&[&KEY]), &token, &client(), AUDIENCES, NOW);
    assert_eq!(answer, Err(Reject::AssertionRejected));
}

#[test]
fn one_kid_may_name_one_key_of_each_form() {
    let rsa = SigningKey::generate(Algorithm::Rs384).unwrap();
    let named = |key: &SigningKey| with(&key.public_jwk(), "kid", "2026".into());
    let keys = JwkSet::parse(&json!({ "keys": [named(&rsa), named(&KEY)] }).to_string()).unwrap();
    for key in [&rsa, &*KEY] {
        let header = with(&header(key), "kid", "2026".into());
        let token = signed(key, &header.to_string(), &payload().to_string());
        assert!(assertion::verify(&keys, &token, &client(), AUDIENCES, NOW).is_ok());
    }
}

#[test]
fn the_claimed_client_is_read_before_it_is_proved() {
    let token = |payload: &Value| signed(&KEY, &header(&KEY).to_string(), &payload.to_string());
    assert_eq!(assertion::peek_client_id(&token(&payload())), Some(client()));
    for bad in [with(&payload(), "iss", "other".into()), with(&payload(), "sub", Value::Null)] {
        assert_eq!(assertion::peek_client_id(&token(&bad)), None);
    }
    let evil = with(&with(&payload(), "iss", "a/b".into()), "sub", "a/b".into());
    assert_eq!(assertion::peek_client_id(&token(&evil)), None);
    for bad in ["", "..", "a.b.c", "e30.e30."] {
        assert_eq!(assertion::peek_client_id(bad), None);
    }
}
