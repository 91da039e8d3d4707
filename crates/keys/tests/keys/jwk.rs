use crate::support::with;
use phiward_keys::Algorithm;
use phiward_keys::jwk::{JwkError, JwkSet};
use phiward_keys::signing::SigningKey;
use serde_json::{Value, json};

fn parse(keys: &[Value]) -> Result<JwkSet, JwkError> {
    JwkSet::parse(&json!({ "keys": keys }).to_string())
}

fn ec() -> Value {
    SigningKey::generate(Algorithm::Es384).unwrap().public_jwk()
}

#[test]
fn the_example_of_rfc_7638_has_its_thumbprint() {
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    let key = json!({ "kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29" });
    let set = parse(&[key]).unwrap();
    let key = set.find("2011-04-29", Algorithm::Rs256).unwrap();
    assert_eq!(key.key().thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    // Its `alg` binds it.
    assert!(set.find("2011-04-29", Algorithm::Rs384).is_none());
}

#[test]
fn the_example_of_rfc_8037_has_its_thumbprint() {
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let set = parse(&[json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": "a" })]).unwrap();
    let key = set.find("a", Algorithm::EdDsa).unwrap();
    assert_eq!(key.key().thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn our_own_keys_are_named_by_their_thumbprint() {
    for &algorithm in Algorithm::ALL {
        let key = SigningKey::generate(algorithm).unwrap();
        let set = parse(&[key.public_jwk()]).unwrap();
        assert_eq!(set.find(key.kid(), algorithm).unwrap().key().thumbprint(), key.kid());
        let kept = key.to_pkcs8().unwrap();
        let again = SigningKey::from_pkcs8(algorithm, kept.expose()).unwrap();
        assert_eq!(again.public_jwk(), key.public_jwk());
        assert!(SigningKey::from_pkcs8(algorithm, b"").is_err());
    }
}

#[test]
fn a_kept_key_of_another_form_is_refused() {
    let kept = SigningKey::generate(Algorithm::Es256).unwrap().to_pkcs8().unwrap();
    for other in [Algorithm::Es384, Algorithm::Rs256, Algorithm::EdDsa] {
        assert!(SigningKey::from_pkcs8(other, kept.expose()).is_err(), "{other}");
    }
}

#[test]
fn a_private_or_symmetric_key_is_refused_with_the_whole_set() {
    for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        let bad = with(&ec(), private, "AAAA".into());
        assert_eq!(parse(&[ec(), bad.clone()]), Err(JwkError::Private), "{private}");
        // Also in a key that would be passed over.
        assert_eq!(parse(&[ec(), with(&bad, "use", "enc".into())]), Err(JwkError::Private));
    }
    let secret = json!({ "kty": "oct", "kid": "s" });
    assert_eq!(parse(&[ec(), secret]), Err(JwkError::Private));
}

#[test]
fn weak_keys_and_points_off_their_curve_are_refused() {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let rsa = SigningKey::generate(Algorithm::Rs384).unwrap().public_jwk();
    assert!(parse(std::slice::from_ref(&rsa)).is_ok());
    let short = URL_SAFE_NO_PAD.encode([0xff; 128]);
    let zero_led = URL_SAFE_NO_PAD.encode([[0].as_slice(), &[0xff; 256]].concat());
    let huge = URL_SAFE_NO_PAD.encode([0xff; 1025]);
    for n in [short, zero_led, huge, String::new()] {
        assert_eq!(parse(&[with(&rsa, "n", n.into())]), Err(JwkError::Weak));
    }
    for e in ["Aw", "AQ", "AAEAAQ", "AQABAQAB"] {
        assert_eq!(parse(&[with(&rsa, "e", e.into())]), Err(JwkError::Weak), "{e}");
    }
    let key = ec();
    for (name, value) in [
        ("x", json!(URL_SAFE_NO_PAD.encode([1; 48]))),
        ("x", json!(URL_SAFE_NO_PAD.encode([1; 47]))),
        ("x", json!("=")),
        ("x", json!(null)),
        ("y", json!(7)),
        ("crv", json!("P-256")),
    ] {
        let alg_free = with(&with(&key, "alg", Value::Null), name, value);
        assert_eq!(parse(&[alg_free]), Err(JwkError::Malformed), "{name}");
    }
}

#[test]
fn keys_for_other_purposes_are_passed_over() {
    let key = ec();
    let others = [
        with(&key, "use", "enc".into()),
        with(&key, "key_ops", json!(["encrypt"])),
        with(&key, "alg", "ECDH-ES".into()),
        with(&key, "alg", "RS384".into()),
        with(&key, "kty", "AKP".into()),
        with(&key, "crv", "secp256k1".into()),
    ];
    for other in others {
        assert_eq!(parse(std::slice::from_ref(&other)), Err(JwkError::NoUsableKey), "{other}");
        assert_eq!(parse(&[other, key.clone()]).unwrap().iter().count(), 1);
    }
    assert!(parse(&[with(&key, "key_ops", json!(["verify"]))]).is_ok());
    assert_eq!(parse(&[]), Err(JwkError::NoUsableKey));
}

#[test]
fn names_are_there_bounded_and_used_once() {
    let key = ec();
    for kid in [json!(null), json!(""), json!("k".repeat(129))] {
        assert_eq!(parse(&[with(&key, "kid", kid)]), Err(JwkError::NoKid));
    }
    assert_eq!(parse(&[key.clone(), key]), Err(JwkError::DuplicateKid));
}

#[test]
fn size_and_shape_are_bounded() {
    for bad in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[1]}"#, r#"{"keys":[{}]}"#] {
        assert_eq!(JwkSet::parse(bad), Err(JwkError::Malformed), "{bad}");
    }
    let twice = ec().to_string().replace('}', r#","kty":"oct"}"#);
    assert_eq!(JwkSet::parse(&format!(r#"{{"keys":[{twice}]}}"#)), Err(JwkError::Malformed));
    assert_eq!(JwkSet::parse(&" ".repeat(JwkSet::MAX_LEN + 1)), Err(JwkError::TooLarge));
    let many = vec![json!({ "kty": "X" }); JwkSet::MAX_KEYS + 1];
    assert_eq!(parse(&many), Err(JwkError::TooLarge));
}
