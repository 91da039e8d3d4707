//! The forms that the token endpoint is asked with.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keys::Algorithm;
use keys::signing::SigningKey;
use phiward_journeys::Demo;
use serde_json::json;

use crate::Outcome;

const CLIENT: &str = "bench-backend";
const SCOPE: &str = "system/Observation.rs";
/// How long an assertion may be kept before it is sent.
const LIFE: Duration = Duration::from_mins(4);

/// A backend client, which signs assertions (RFC 7523) with ES256.
#[derive(Debug)]
pub(crate) struct Backend {
    key: SigningKey,
    header: String,
    audience: String,
    made: u64,
}

impl Backend {
    /// Registers it; its public key goes through a file in `folder`.
    pub(crate) fn register(demo: &Demo, folder: &Path) -> Outcome<Self> {
        let key = SigningKey::generate(Algorithm::Es256)?;
        let file = folder.join("bench-backend.jwks");
        std::fs::write(&file, json!({ "keys": [key.public_jwk()] }).to_string())?;
        let mut arguments = vec!["client", "add", CLIENT, "--backend", "--scope", SCOPE];
        arguments.extend(["--name", "Benchmark", "--legal-name", "Benchmark"]);
        arguments.extend(["--purpose", "Measuring", "--jwks"]);
        let path = file.to_string_lossy();
        arguments.push(&path);
        let output = demo.command(&arguments);
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": key.kid() });
        let audience = format!("{}/oauth/token", demo.ready.issuer);
        Ok(Self { key, header: URL_SAFE_NO_PAD.encode(header.to_string()), audience, made: 0 })
    }

    /// Writes `count` requests for a token, each with an assertion of its own, one on a line.
    pub(crate) fn write(&mut self, file: &Path, count: u64) -> Outcome<()> {
        let expires = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec
            + i64::try_from(LIFE.as_secs())?;
        let run: [u8; 8] = aws_lc_rs::rand::generate(&SystemRandom::new())?.expose();
        let run = u64::from_be_bytes(run);
        let mut text = String::new();
        for _ in 0..count {
            self.made += 1;
            let claims = json!({
                "iss": CLIENT, "sub": CLIENT, "aud": self.audience, "exp": expires,
                "jti": format!("{run:016x}-{}", self.made),
            });
            let signed = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(claims.to_string()));
            let signature = self.key.sign(signed.as_bytes())?;
            let assertion = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
            let form = form(&[
                ("grant_type", "client_credentials"),
                ("scope", SCOPE),
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_assertion", &assertion),
            ]);
            writeln!(text, "{form}")?;
        }
        Ok(std::fs::write(file, text)?)
    }
}

/// Writes the one form of a refresh.
pub(crate) fn write_refresh(file: &Path, token: &str) -> Outcome<()> {
    let form = form(&[("grant_type", "refresh_token"), ("refresh_token", token)]);
    Ok(std::fs::write(file, format!("{form}\n"))?)
}

fn form(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}
