//! `phiward demo --once`: one app gets one patient's labs through the front door, and everything else
//! it tries is refused. Each step is a real request over TLS; after each, what the ledger now holds.

use std::sync::Arc;

use domain::{Clock, TokenId};
use keys::access_token::{self, AccessTokenClaims, Expected};
use ledger::read::Reader;
use ledger::verify::{Verdict, VerifyOptions, verify as verify_ledger};
use serde_json::{Value, json};

use super::Ready;
use super::browser::{Answer, Browser, encode, hidden, parameter};
use crate::clock::SystemClock;
use crate::failure::Failure;
use crate::ledger_command::print_report;
use crate::output::{self, BAD, GOOD};
use crate::system::ledger_origin;

const LABS: &str = "http://terminology.hl7.org/CodeSystem/observation-category|laboratory";
/// RFC 7636 appendix B: a walk is no secret.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// The app, its person's browser, and what it holds so far.
struct Walk<'a> {
    ready: &'a Ready,
    browser: Browser,
    as_json: bool,
    step: u32,
    shown: u64,
}

/// What a step must answer, so that the walk cannot succeed by accident.
struct Expect {
    status: u16,
    told: &'static str,
}

/// Walks.
pub(super) async fn run(ready: &Ready, as_json: bool) -> Result<(), Failure> {
    let issuer = ready.system.config().issuer.clone();
    let browser = Browser::new(&issuer, &ready.ca)?;
    let mut walk = Walk { ready, browser, as_json, step: 0, shown: 0 };
    walk.shown = walk.records().map(|records| records.len() as u64)?;
    walk.line("One app, one patient's labs, and nothing else.");
    let (code, token) = walk.main_job(&issuer).await?;
    walk.refusals(&issuer, &token).await?;
    walk.replay(&issuer, &code, &token).await
}

impl Walk<'_> {
    /// Discovery, sign-in, consent, token, labs.
    async fn main_job(&mut self, issuer: &str) -> Result<(String, String), Failure> {
        let url = format!("{issuer}/fhir/.well-known/smart-configuration");
        let answer = self.browser.get(&url, None).await?;
        let said = text(&answer.json()?, "token_endpoint");
        self.tell(
            "the app finds out where to go",
            &format!("GET {url}"),
            &answer,
            Expect { status: 200, told: "" },
            &said,
        )
        .await?;

        let labs = format!("patient/Observation.rs?category={LABS}");
        let code = self.authorize(issuer, &format!("launch/patient {labs}")).await?;
        let answer = self.redeem(issuer, &code).await?;
        let response = answer.json()?;
        let said = format!(
            "scope {}, {} s",
            text(&response, "scope"),
            response.get("expires_in").unwrap_or(&Value::Null)
        );
        self.tell(
            "the app redeems the code",
            "POST /oauth/token grant_type=authorization_code",
            &answer,
            Expect { status: 200, told: "" },
            &said,
        )
        .await?;
        let granted = text(&response, "scope");
        if !granted.split(' ').any(|scope| scope == labs) {
            return Err(Failure::check(format!("the token says `{granted}`")));
        }
        let token = text(&response, "access_token");

        let path = "/fhir/Observation?category=laboratory&_count=5";
        let answer = self.browser.get(path, Some(&token)).await?;
        let bundle = answer.json()?;
        let entries = bundle.get("entry").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let said = entries.iter().map(lab).collect::<Vec<_>>().join(" · ");
        self.tell(
            "the app reads the labs",
            &format!("GET {path}"),
            &answer,
            Expect { status: 200, told: "" },
            &said,
        )
        .await?;
        if entries.is_empty() {
            return Err(Failure::check("there are no labs to read"));
        }
        Ok((code, token))
    }

    /// The person's side: sign-in and consent, page by page.
    async fn authorize(&mut self, issuer: &str, scope: &str) -> Result<String, Failure> {
        let url = self.authorization_url(issuer, scope);
        let mut answer = self.browser.get(&url, None).await?;
        let amina = self.ready.data.user("amina")?.clone();
        let mut page = follow(&mut self.browser, &mut answer).await?;
        let fields = [("username", amina.username.as_str()), ("password", amina.password.as_str())];
        answer = submit(&mut self.browser, &page, &answer, &fields).await?;
        page = follow(&mut self.browser, &mut answer).await?;
        let offered = checkboxes(&answer.body);
        let mut fields: Vec<(&str, &str)> = offered.iter().map(|s| ("scope", s.as_str())).collect();
        fields.extend([("duration", "once"), ("decision", "approve")]);
        answer = submit(&mut self.browser, &page, &answer, &fields).await?;
        let location = answer.location.clone().unwrap_or_default();
        let code = parameter(&location, "code")
            .ok_or_else(|| Failure::check("the person allowed it, but there is no code"))?;
        let said = format!(
            "back to the app with code, state and iss={}",
            parameter(&location, "iss").unwrap_or_default()
        );
        let what = "Amina signs in, sees what Lab Trends asks for, and allows it for this visit";
        self.tell(
            what,
            &format!("GET /oauth/authorize?…&scope={scope}"),
            &answer,
            Expect { status: 303, told: "" },
            &said,
        )
        .await?;
        Ok(code)
    }

    fn authorization_url(&self, issuer: &str, scope: &str) -> String {
        let redirect_uri = format!("{issuer}/demo/callback");
        let aud = format!("{issuer}/fhir");
        let query = encode(&[
            ("response_type", "code"),
            ("client_id", "demo-web"),
            ("redirect_uri", &redirect_uri),
            ("scope", scope),
            ("aud", &aud),
            ("state", "walk"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ]);
        format!("{issuer}/oauth/authorize?{query}")
    }

    async fn redeem(&mut self, issuer: &str, code: &str) -> Result<Answer, Failure> {
        let redirect_uri = format!("{issuer}/demo/callback");
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &redirect_uri),
            ("client_id", "demo-web"),
            ("code_verifier", VERIFIER),
        ];
        self.browser.post("/oauth/token", &fields).await
    }

    /// Another patient, another category, another type, a wildcard, a token that is over.
    async fn refusals(&mut self, issuer: &str, token: &str) -> Result<(), Failure> {
        let brook = self.ready.data.user("brook")?.patient.clone().unwrap_or_default();
        let foreign = self.foreign_lab(&brook).await?;
        let rows = [
            (
                "another patient's labs",
                format!("/fhir/Observation?patient={brook}&_count=5"),
                200,
                "an empty Bundle",
            ),
            ("one of another patient's labs, by its id", foreign, 404, ""),
            ("another patient's record", format!("/fhir/Patient/{brook}"), 403, ""),
            (
                "another category",
                "/fhir/Observation?category=vital-signs&_count=5".to_owned(),
                200,
                "an empty Bundle",
            ),
            ("another kind of data", "/fhir/Condition?_count=5".to_owned(), 403, ""),
        ];
        for (what, path, status, told) in rows {
            let answer = self.browser.get(&path, Some(token)).await?;
            let body = answer.json()?;
            if body
                .get("entry")
                .and_then(Value::as_array)
                .is_some_and(|entries| !entries.is_empty())
            {
                return Err(Failure::check(format!("{what}: something came back")));
            }
            let said = outcome(&body);
            self.tell(
                &format!("refused: {what}"),
                &format!("GET {path}"),
                &answer,
                Expect { status, told },
                &said,
            )
            .await?;
        }

        let url = self.authorization_url(issuer, "patient/*.rs");
        let answer = self.browser.get(&url, None).await?;
        let location = answer.location.clone().unwrap_or_default();
        let error = parameter(&location, "error").unwrap_or_default();
        if error != "invalid_scope" {
            return Err(Failure::check(format!("a wildcard was answered with `{error}`")));
        }
        let said = format!("back to the app with error={error}");
        self.tell(
            "refused: a wildcard",
            "GET /oauth/authorize?…&scope=patient/*.rs",
            &answer,
            Expect { status: 303, told: "" },
            &said,
        )
        .await?;

        let over = self.expired(token)?;
        let path = "/fhir/Observation?_count=1";
        let answer = self.browser.get(path, Some(&over)).await?;
        let said = outcome(&answer.json()?);
        self.tell(
            "refused: the same token, over since a second",
            &format!("GET {path}"),
            &answer,
            Expect { status: 401, told: "" },
            &said,
        )
        .await
    }

    /// A lab of another patient's, looked up behind the gateway's back, so that the refusal is of
    /// something that exists.
    async fn foreign_lab(&self, patient: &str) -> Result<String, Failure> {
        let upstream = &self.ready.system.config().upstream;
        let mut operator = Browser::new(upstream, &self.ready.ca)?;
        let url = format!("{upstream}/Observation?patient={patient}&category=laboratory&_count=1");
        let bundle = operator.get(&url, None).await?.json()?;
        let id = bundle.pointer("/entry/0/resource/id").and_then(Value::as_str);
        let id = id.ok_or_else(|| Failure::check("the second patient has no labs"))?;
        Ok(format!("/fhir/Observation/{id}"))
    }

    /// The token's own claims, signed by the server's own key, as if made earlier: real in all but
    /// the waiting.
    fn expired(&self, token: &str) -> Result<String, Failure> {
        let config = self.ready.system.config();
        let audience = format!("{}/fhir", config.issuer);
        let ring = self.ready.system.key_ring();
        let now = SystemClock.now();
        let expected = Expected { issuer: &config.issuer, audience: &audience };
        let claims = access_token::verify(ring, token, &expected, now)
            .map_err(|_| Failure::check("the token is not good"))?;
        let jti = TokenId::parse("walk-over").map_err(|_| Failure::internal())?;
        let over =
            AccessTokenClaims { iat: now.plus_secs(-301), exp: now.plus_secs(-1), jti, ..claims };
        let signed = access_token::sign(ring, &over).map_err(|_| Failure::internal())?;
        Ok(signed.expose().clone())
    }

    /// The code a second time, and what that does to what it bought.
    async fn replay(&mut self, issuer: &str, code: &str, token: &str) -> Result<(), Failure> {
        let answer = self.redeem(issuer, code).await?;
        let said = text(&answer.json()?, "error");
        self.tell(
            "refused: the code, replayed",
            "POST /oauth/token grant_type=authorization_code",
            &answer,
            Expect { status: 400, told: "" },
            &said,
        )
        .await?;
        let path = "/fhir/Observation?_count=1";
        let answer = self.browser.get(path, Some(token)).await?;
        let said = outcome(&answer.json()?);
        self.tell(
            "and what the code had bought is dead",
            &format!("GET {path}"),
            &answer,
            Expect { status: 401, told: "" },
            &said,
        )
        .await
    }

    fn line(&self, text: &str) {
        if !self.as_json {
            output::line(text);
        }
    }

    /// Prints a step and checks it.
    async fn tell(
        &mut self,
        what: &str,
        request: &str,
        answer: &Answer,
        expect: Expect,
        said: &str,
    ) -> Result<(), Failure> {
        self.step += 1;
        let records = self.new_records()?;
        let status = answer.status;
        let said = if expect.told.is_empty() { said } else { expect.told };
        if self.as_json {
            output::json(&json!({
                "step": self.step, "what": what, "request": request, "status": status,
                "answer": said, "ledger": records,
            }))?;
        } else {
            let style = if status < 400 { GOOD } else { BAD };
            output::line("");
            output::line(&format!("{:>2}  {what}", self.step));
            output::line(&format!("    → {request}"));
            output::line(&format!("    ← {style}{status}{style:#} {said}"));
            for record in &records {
                output::line(&format!("    ledger  {}", record.as_str().unwrap_or_default()));
            }
        }
        if status == expect.status {
            Ok(())
        } else {
            Err(Failure::check(format!("{what}: status {status}, not {}", expect.status)))
        }
    }

    fn new_records(&mut self) -> Result<Vec<Value>, Failure> {
        let all = self.records()?;
        let skip = usize::try_from(self.shown).unwrap_or(usize::MAX);
        self.shown = all.len() as u64;
        Ok(all.into_iter().skip(skip).map(Value::from).collect())
    }

    fn records(&self) -> Result<Vec<String>, Failure> {
        let config = self.ready.system.config();
        let failed = |error: &dyn std::fmt::Display| Failure::check(error.to_string());
        let custody = self.ready.system.custody();
        let (dir, keys) = (&config.ledger.dir, config.ledger_keys());
        let mut reader = Reader::open(
            dir,
            &keys,
            &ledger_origin(config),
            ledger::stream::number(&ledger_origin(config)),
            Arc::clone(&custody),
        );
        let mut cursor = reader.from_seq(0).map_err(|error| failed(&error))?;
        let mut lines = Vec::new();
        while let Some(record) = cursor.next_record().map_err(|error| failed(&error))? {
            let kind = record.kind.map_or("?", domain::Kind::as_str);
            let outcome = record.outcome.map_or("?", domain::Outcome::as_str);
            lines.push(format!("#{} {kind} {outcome}", record.seq));
        }
        Ok(lines)
    }
}

/// Verifies the closed ledger, the checkpoint it ended with kept "elsewhere".
pub(super) fn verify(ready: &Ready, as_json: bool) -> Result<(), Failure> {
    let config = ready.system.config();
    let mut options = VerifyOptions::new(ready.system.ledger().verifier_key().clone());
    options.expectations.push(ready.system.ledger().latest_checkpoint());
    let report = verify_ledger(&config.ledger.dir, &options, &mut |_| {})
        .map_err(|error| Failure::check(error.to_string()))?;
    if !as_json {
        output::line("");
        output::line("The ledger, verified against the checkpoint that was signed last:");
    }
    print_report(&report, as_json)?;
    if report.verdict == Verdict::Pass { Ok(()) } else { Err(Failure::silent()) }
}

/// Follows redirects within our own origin until a page; gives the page's own URL.
async fn follow(browser: &mut Browser, answer: &mut Answer) -> Result<String, Failure> {
    let mut page = String::new();
    for _ in 0..5 {
        if answer.status != 303 {
            break;
        }
        page = answer.location.clone().unwrap_or_default();
        *answer = browser.get(&page, None).await?;
    }
    if answer.status == 200 {
        Ok(page)
    } else {
        Err(Failure::check(format!("a page answered with status {}", answer.status)))
    }
}

/// Submits a page's form with its hidden fields.
async fn submit(
    browser: &mut Browser,
    page: &str,
    shown: &Answer,
    fields: &[(&str, &str)],
) -> Result<Answer, Failure> {
    let lost = || Failure::check("a page has no form");
    let csrf = hidden(&shown.body, "csrf").ok_or_else(lost)?;
    let request = hidden(&shown.body, "request").ok_or_else(lost)?;
    let mut all = vec![("csrf", csrf.as_str()), ("request", request.as_str())];
    all.extend_from_slice(fields);
    let action = page.split('?').next().unwrap_or_default();
    browser.post(action, &all).await
}

/// The values of the consent page's boxes.
fn checkboxes(page: &[u8]) -> Vec<String> {
    let page = String::from_utf8_lossy(page);
    page.split('<')
        .filter(|tag| tag.starts_with("input") && tag.contains("type=\"checkbox\""))
        .filter_map(|tag| tag.split_once("value=\"")?.1.split_once('"').map(|(v, _)| v.to_owned()))
        .map(|value| value.replace("&#38;", "&").replace("&amp;", "&"))
        .collect()
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// What an OperationOutcome says.
fn outcome(value: &Value) -> String {
    let pointer = "/issue/0/details/text";
    let text = value.pointer(pointer).or_else(|| value.pointer("/issue/0/diagnostics"));
    text.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A lab result in a few words.
fn lab(entry: &Value) -> String {
    let at = |pointer: &str| entry.pointer(pointer);
    let name = at("/resource/code/text").or_else(|| at("/resource/code/coding/0/display"));
    let value = at("/resource/valueQuantity/value").map_or_else(String::new, ToString::to_string);
    let unit = at("/resource/valueQuantity/unit").and_then(Value::as_str).unwrap_or_default();
    format!("{} {value} {unit}", name.and_then(Value::as_str).unwrap_or("?")).trim_end().to_owned()
}
