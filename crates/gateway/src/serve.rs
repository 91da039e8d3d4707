//! The way of one request, top to bottom: verify, understand, decide, ask, check, record, release.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use domain::{FhirId, Reject, ResourceType};
use fhir::{Bundle, Interaction, Page, Query, Search};
use http::Method;
use keys::access_token::{AccessTokenClaims, Expected, Subject};
use ledger::LedgerFault;
use store::StoreFault;
use store::gateway::{Reachable, StandingQuery, Verdict};

use crate::decide::{Asker, Permit, Person, decide};
use crate::judge::{Withheld, judge};
use crate::narrow::narrow;
use crate::page::Continuation;
use crate::record::{Disclosed, Story};
use crate::upstream::Answer;
use crate::{Gateway, GatewayRequest, GatewayResponse, answer, headers, receipt};

/// The longest page handle that a client is given; a query holds no longer one.
const MAX_HANDLE: usize = 2_000;

/// Why a request ends without a record leaving.
pub(crate) enum Stop {
    Refused(Reject),
    Fault,
}

impl From<Reject> for Stop {
    fn from(reject: Reject) -> Self {
        Self::Refused(reject)
    }
}

impl From<StoreFault> for Stop {
    fn from(_: StoreFault) -> Self {
        Self::Fault
    }
}

impl From<LedgerFault> for Stop {
    fn from(_: LedgerFault) -> Self {
        Self::Refused(Reject::LedgerUnavailable)
    }
}

/// What is left to do once a request is understood and permitted.
enum Task {
    Read(ResourceType, FhirId),
    Search(ResourceType, Query),
}

/// A token that verified and still stands.
pub(crate) struct Verified {
    pub(crate) claims: Arc<AccessTokenClaims>,
    person: Option<Reachable>,
}

impl Gateway {
    /// Answers one request. What it refuses is recorded; what it releases was recorded before.
    pub async fn handle(&self, request: GatewayRequest<'_>) -> GatewayResponse {
        let mut story = Story::new(&request);
        let served = Box::pin(self.serve(&request, &mut story)).await;
        let (reject, position) = match served {
            Ok(response) => return response,
            Err(Stop::Refused(reject)) => {
                let entry = story.denied(reject, reject.status());
                let recorded = self.parts.ledger.refused(entry, reject).await;
                (*recorded.get(), recorded.position())
            }
            Err(Stop::Fault) => {
                let reject = Reject::LedgerUnavailable;
                let entry = story.failed(reject.status());
                let recorded = self.parts.ledger.append(vec![entry]).await;
                if let Err(fault) = &recorded {
                    tracing::error!(%fault, "a fault could not be recorded");
                }
                (reject, recorded.ok().and_then(|positions| positions.first().copied()))
            }
        };
        let settings = &self.parts.settings;
        let mut response =
            answer::refused(reject, &settings.resource_metadata, &request.correlation);
        self.receipt(&story, position.as_slice(), &mut response);
        response
    }

    async fn serve(
        &self,
        request: &GatewayRequest<'_>,
        story: &mut Story,
    ) -> Result<GatewayResponse, Stop> {
        let interaction = Interaction::parse(request.method.as_str(), request.path);
        if interaction == Ok(Interaction::Capabilities) {
            headers::accepts_json(request.headers)?;
            return Ok(answer::open(self.capabilities.clone(), &request.correlation));
        }
        let verified = self.verify(request, story).await?;
        let interaction = interaction?;
        story.asked(&interaction);
        let permit = decide(&interaction, &verified.asker())?;
        story.permitted(&permit);
        match self.understand(request, interaction)? {
            Task::Read(kind, id) => self.read(request, story, &permit, kind, &id).await,
            Task::Search(kind, query) => {
                let turn = Turn {
                    request,
                    permit: &permit,
                    verified: &verified,
                    kind,
                    first: true,
                    concerned: true,
                };
                self.search(&turn, story, query).await
            }
        }
    }

    pub(crate) async fn verify(
        &self,
        request: &GatewayRequest<'_>,
        story: &mut Story,
    ) -> Result<Verified, Stop> {
        headers::single(request.headers)?;
        if fhir::names_access_token(request.query) {
            return Err(Reject::TokenMisplaced.into());
        }
        let token = headers::bearer(request.headers)?;
        let settings = &self.parts.settings;
        let expected = Expected { issuer: &settings.issuer, audience: &settings.fhir_base };
        let now = self.parts.clock.now();
        let claims = self.tokens.verify(&self.parts.keys, token, &expected, now)?;
        story.by(&claims);
        let person = match &claims.sub {
            Subject::Person(person) => Some(person),
            Subject::Client(_) => None,
        };
        // A person's authority is a grant's; without one there is nothing to withdraw.
        if person.is_some() && claims.grant.is_none() {
            return Err(Reject::TokenClaims.into());
        }
        let query = StandingQuery {
            client: &claims.client_id,
            person,
            grant: claims.grant.as_ref(),
            jti: &claims.jti,
        };
        let standing = self.parts.store.standing(&query, now).await?;
        story.stands(&standing);
        if standing.verdict != Verdict::Good {
            story.note(match standing.verdict {
                Verdict::ClientDisabled => "the client is disabled",
                Verdict::PersonDisabled => "the person is disabled",
                Verdict::GrantOver => "the grant is over",
                Verdict::TokenRevoked | Verdict::Good => "the token was revoked",
            });
            return Err(Reject::TokenRevoked.into());
        }
        if standing.receipts {
            story.receipts_for(receipt::holder(&claims, &self.parts.ledger));
        }
        Ok(Verified { claims, person: standing.person })
    }

    /// Headers, query and body of a permitted request.
    fn understand(
        &self,
        request: &GatewayRequest<'_>,
        interaction: Interaction,
    ) -> Result<Task, Reject> {
        headers::accepts_json(request.headers)?;
        let form = match *request.method {
            Method::POST => {
                headers::form(request.headers)?;
                Some(&*request.body)
            }
            _ if request.body.is_empty() => None,
            _ => return Err(Reject::RequestMalformed),
        };
        match interaction {
            Interaction::Read(kind, id) => {
                fhir::read_query(request.query)?;
                Ok(Task::Read(kind, id))
            }
            Interaction::Search(kind) => {
                let base = &self.parts.settings.fhir_base;
                Ok(Task::Search(kind, Query::parse(kind, request.query, form, base)?))
            }
            Interaction::Capabilities | Interaction::Unbuilt(_) => Err(Reject::InteractionRefused),
        }
    }

    async fn read(
        &self,
        request: &GatewayRequest<'_>,
        story: &mut Story,
        permit: &Permit,
        kind: ResourceType,
        id: &FhirId,
    ) -> Result<GatewayResponse, Stop> {
        let upstream = &self.parts.upstream;
        let found = match upstream.read(kind, id).await? {
            Answer::Found(body) => body,
            Answer::Absent | Answer::Unsuitable => return Err(Reject::OutOfReach.into()),
        };
        let raw = std::str::from_utf8(&found).map_err(|_| Reject::UpstreamBroken)?;
        let facts = match fhir::scan(raw, &upstream.base) {
            Ok(facts) => facts,
            // JSON that cannot be judged is withheld; what is no JSON is a broken answer.
            Err(_) if fhir::is_json(raw) => {
                story.note(Withheld::Unreadable.as_str());
                return Err(Reject::OutOfReach.into());
            }
            Err(_) => return Err(Reject::UpstreamBroken.into()),
        };
        if facts.resource_type != kind {
            return Err(Reject::UpstreamBroken.into());
        }
        let judged =
            if facts.id == *id { judge(&facts, kind, permit) } else { Err(Withheld::WrongId) };
        let patients = judged.map_err(|why| {
            story.note(why.as_str());
            Reject::OutOfReach
        })?;
        let mut disclosed = Disclosed::new();
        disclose(&mut disclosed, patients, kind, id.clone());
        let body = if self.rewrite.concerns(raw) {
            self.rewrite.apply(raw).into_owned().into()
        } else {
            found
        };
        self.release(request, story, disclosed, body).await
    }

    async fn search(
        &self,
        turn: &Turn<'_>,
        story: &mut Story,
        query: Query,
    ) -> Result<GatewayResponse, Stop> {
        let upstream = &self.parts.upstream;
        let (search, found, first) = match query {
            Query::Page(handle) => {
                let (search, rest) = self.turn_page(turn, &handle)?;
                story.searched(&search);
                (search, upstream.page(&rest).await?, false)
            }
            Query::Search(asked) => {
                story.searched(&asked);
                let Some(search) = narrow(asked.clone(), turn.permit) else {
                    return self.nothing(turn, story, &asked).await;
                };
                story.searched(&search);
                let found = upstream.search(&search).await?;
                (search, found, true)
            }
        };
        let found = match (found, first) {
            (Answer::Found(body), _) => body,
            (Answer::Absent, true) => return Err(Reject::UpstreamBroken.into()),
            (Answer::Unsuitable, true) => return Err(Reject::SearchParameterRefused.into()),
            // A cursor that is over is no page.
            (Answer::Absent | Answer::Unsuitable, false) => return Err(Reject::OutOfReach.into()),
        };
        let raw = std::str::from_utf8(&found).map_err(|_| Reject::UpstreamBroken)?;
        let bundle = Bundle::parse(raw).map_err(|_| Reject::UpstreamBroken)?;
        let turn = Turn { concerned: self.rewrite.concerns(raw), first, ..*turn };
        let (body, disclosed) = self.rebuild(&turn, story, &search, &bundle);
        self.release(turn.request, story, disclosed, body.into()).await
    }

    /// Judges every entry and makes the bundle that leaves.
    fn rebuild(
        &self,
        turn: &Turn<'_>,
        story: &mut Story,
        search: &Search,
        bundle: &Bundle<'_>,
    ) -> (String, Disclosed) {
        let base = &self.parts.settings.fhir_base;
        let mut disclosed = Disclosed::new();
        let mut kept = Vec::with_capacity(bundle.entries.len());
        let mut withheld = 0_u32;
        for entry in &bundle.entries {
            match self.judge_entry(*entry, search, turn.permit) {
                Ok((id, patients, raw)) => {
                    let raw =
                        if turn.concerned { self.rewrite.apply(raw) } else { Cow::Borrowed(raw) };
                    kept.push((format!("{base}/{}/{id}", turn.kind), raw));
                    disclose(&mut disclosed, patients, turn.kind, id);
                }
                Err(_) => withheld = withheld.saturating_add(1),
            }
        }
        story.withheld(withheld);
        if !bundle.has_self {
            story.note("the upstream did not say which search it answered");
        }
        let next_url = bundle.next.as_deref().and_then(|next| self.next_url(turn, search, next));
        // Known only where this page is all there is.
        let whole = turn.first && bundle.next.is_none() && bundle.has_self;
        let page = Page {
            self_url: &self_url(base, search),
            next_url: next_url.as_deref(),
            total: whole.then_some(kept.len()),
        };
        (page.to_json(&kept), disclosed)
    }

    fn judge_entry<'a>(
        &self,
        entry: fhir::Entry<'a>,
        search: &Search,
        permit: &Permit,
    ) -> Result<(FhirId, Vec<FhirId>, &'a str), Withheld> {
        let raw = entry.resource.filter(|_| entry.is_match).ok_or(Withheld::NotAMatch)?;
        let facts = fhir::scan(raw, &self.parts.upstream.base).map_err(|_| Withheld::Unreadable)?;
        let patients = judge(&facts, search.resource_type, permit)?;
        if search.predicates.iter().all(|predicate| fhir::holds_predicate(&facts, predicate)) {
            Ok((facts.id, patients, raw))
        } else {
            Err(Withheld::OutsideQuery)
        }
    }

    /// The search that a handle continues and where the upstream keeps its next page.
    fn turn_page(&self, turn: &Turn<'_>, handle: &str) -> Result<(Search, String), Reject> {
        let (key, now) = (&self.parts.page_key, self.parts.clock.now());
        let page = Continuation::open(handle, key, &turn.holder(), turn.kind, now)
            .ok_or(Reject::OutOfReach)?;
        let base = &self.parts.settings.fhir_base;
        match Query::parse(turn.kind, Some(&page.query), None, base) {
            Ok(Query::Search(search)) => Ok((search, page.rest)),
            _ => Err(Reject::OutOfReach),
        }
    }

    /// Our link to the upstream's next page; none if it leaves the upstream's base.
    fn next_url(&self, turn: &Turn<'_>, search: &Search, next: &str) -> Option<String> {
        let rest = self.parts.upstream.under_base(next)?;
        let now = self.parts.clock.now();
        let handle = Continuation::new(turn.kind, rest, search.to_string(), now)
            .seal(&self.parts.page_key, &*self.parts.random, &turn.holder())
            .ok()
            .filter(|handle| handle.len() <= MAX_HANDLE)?;
        Some(format!("{}/{}?_page={handle}", self.parts.settings.fhir_base, turn.kind))
    }

    /// An empty bundle, recorded as a refusal: what was asked for is out of reach.
    async fn nothing(
        &self,
        turn: &Turn<'_>,
        story: &Story,
        asked: &Search,
    ) -> Result<GatewayResponse, Stop> {
        let self_url = self_url(&self.parts.settings.fhir_base, asked);
        let page = Page { self_url: &self_url, next_url: None, total: Some(0) };
        let entry = story.denied(Reject::OutOfReach, 200);
        let positions = self.parts.ledger.append(vec![entry]).await?;
        let body = page.to_json(&[]).into();
        let mut response = answer::released(body, &turn.request.correlation);
        self.receipt(story, &positions, &mut response);
        Ok(response)
    }

    /// Records, durably, and then lets go.
    async fn release(
        &self,
        request: &GatewayRequest<'_>,
        story: &Story,
        disclosed: Disclosed,
        body: Bytes,
    ) -> Result<GatewayResponse, Stop> {
        let positions = self.parts.ledger.append(story.released(disclosed, &body)).await?;
        let mut response = answer::released(body, &request.correlation);
        self.receipt(story, &positions, &mut response);
        Ok(response)
    }
}

/// What stays the same while a search is answered.
#[derive(Clone, Copy)]
struct Turn<'a> {
    request: &'a GatewayRequest<'a>,
    permit: &'a Permit,
    verified: &'a Verified,
    kind: ResourceType,
    /// Whether this is a search of its own, and not a later page of one.
    first: bool,
    /// Whether the answer mentions the upstream's address.
    concerned: bool,
}

impl Turn<'_> {
    /// Whom a page handle opens for. None of the parts holds a line break.
    fn holder(&self) -> String {
        let claims = &self.verified.claims;
        let grant = claims.grant.as_ref().map_or("", |grant| grant.as_str());
        let patient = claims.patient.as_ref().map_or("", |patient| patient.as_str());
        let (client, subject) = (claims.client_id.as_str(), claims.sub.as_str());
        format!("phiward page v1\n{client}\n{subject}\n{grant}\n{patient}\n{}", claims.scope)
    }
}

impl Verified {
    fn asker(&self) -> Asker<'_> {
        let person = self
            .person
            .as_ref()
            .map(|p| Person { patients: &p.patients, fhir_user: p.fhir_user.as_ref() });
        Asker { scopes: &self.claims.scope, patient: self.claims.patient.as_ref(), person }
    }
}

fn disclose(to: &mut Disclosed, patients: Vec<FhirId>, kind: ResourceType, id: FhirId) {
    if patients.is_empty() {
        to.entry(None).or_default().push((kind, id));
        return;
    }
    for patient in patients {
        to.entry(Some(patient)).or_default().push((kind, id.clone()));
    }
}

fn self_url(base: &str, search: &Search) -> String {
    match search.to_string() {
        query if query.is_empty() => format!("{base}/{}", search.resource_type),
        query => format!("{base}/{}?{query}", search.resource_type),
    }
}
