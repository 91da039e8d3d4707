//! What a request brings, read once and bounded: who calls, and its form or body.

use std::time::Duration;

use authority::{Caller, Parameters};
use bytes::Bytes;
use domain::{CorrelationId, Reject};
use http::{HeaderMap, header, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use keys::{KeyFault, Random};
use tokio::time::timeout;

use crate::{form, server::Peer};

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(20);
/// How much of the `User-Agent` header is kept, in characters.
const USER_AGENT: usize = 200;
/// No letter that can be taken for a digit: the id is read aloud to help desks.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Why there is no body to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyProblem {
    /// It is there, but not acceptable.
    Refused(Reject),
    /// It ended early or broke the protocol.
    Broken,
    /// It took too long.
    Slow,
}

/// A fresh correlation id: 80 random bits, in four groups.
pub(crate) fn correlation(random: &dyn Random) -> Result<CorrelationId, KeyFault> {
    let mut bytes = [0_u8; 16];
    random.fill(&mut bytes)?;
    let mut text = String::with_capacity(19);
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 && index % 4 == 0 {
            text.push('-');
        }
        let letter = ALPHABET.get(usize::from(byte % 32)).copied().unwrap_or(b'0');
        text.push(char::from(letter));
    }
    CorrelationId::parse(&text).map_err(|_| KeyFault)
}

/// Who calls. Proxy headers say nothing here: the address is the connection's.
pub(crate) fn caller(parts: &Parts, correlation: CorrelationId) -> Option<Caller> {
    let address = parts.extensions.get::<Peer>()?.0;
    let user_agent = parts.headers.get(header::USER_AGENT).map(|value| {
        let printable = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
        value
            .as_bytes()
            .iter()
            .filter(|b| printable(b))
            .take(USER_AGENT)
            .copied()
            .map(char::from)
            .collect()
    });
    Some(Caller { address, user_agent, correlation })
}

/// The whole body, up to a number of bytes.
pub(crate) async fn body(body: Incoming, limit: usize) -> Result<Bytes, BodyProblem> {
    let too_large = BodyProblem::Refused(Reject::RequestTooLarge);
    if usize::try_from(body.size_hint().lower()).map_or(true, |announced| announced > limit) {
        return Err(too_large);
    }
    let whole = timeout(BODY_TIME, Limited::new(body, limit).collect());
    match whole.await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large),
        Ok(Err(_)) => Err(BodyProblem::Broken),
        Err(_) => Err(BodyProblem::Slow),
    }
}

/// The parameters of a form.
pub(crate) async fn form(
    headers: &HeaderMap,
    incoming: Incoming,
) -> Result<Parameters, BodyProblem> {
    form::require_form(headers).map_err(BodyProblem::Refused)?;
    let bytes = body(incoming, form::MAX_FORM).await?;
    let pairs = form::decode(&bytes).map_err(BodyProblem::Refused)?;
    Ok(Parameters::new(pairs))
}
