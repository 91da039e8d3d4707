//! The table of reasons to refuse, from `domain::Reject`: every reason, in the order of its code.

use std::fmt::Write as _;

use domain::{Audience, Reject};

const HEAD: &str = "\
<!-- Generated from `domain::Reject` by `cargo xtask generated`. Do not edit. -->
# Reasons to refuse

Every refusal of Phiward is one of these. The answer carries the status, the OAuth error where there is
one, the public text and a correlation id, and nothing else; the ledger holds the event and the reason,
found by the correlation id. Reasons that a client must not be able to tell apart share their answer.

The answer goes to: *page*, a person reads it on a page of Phiward, never redirected; *redirect*, the
client, at its registered redirect URI; *token*, the client, as JSON (RFC 6749 §5.2); *resource*, the
client, as a FHIR `OperationOutcome` or, from a plain API, problem+json (RFC 9457).
The last column is the attack of `phiward drill` that provokes it.

| reason | status | OAuth error | answer goes to | public text | ledger event | drill |
|---|---|---|---|---|---|---|
";

/// The page.
pub(super) fn page() -> String {
    let mut rejects = Reject::ALL.to_vec();
    rejects.sort_by_key(|reject| reject.code());
    let mut page = HEAD.to_owned();
    for reject in rejects {
        let audience = match reject.audience() {
            Audience::Page => "page",
            Audience::Redirect => "redirect",
            Audience::Token => "token",
            Audience::Resource => "resource",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {audience} | {} | `{}` | {} |",
            reject.id(),
            reject.status(),
            reject.oauth().map_or_else(|| "–".into(), |error| format!("`{}`", error.as_str())),
            reject.text().replace('|', "\\|"),
            reject.event(),
            if reject.drill().is_empty() { "–" } else { reject.drill() },
        );
    }
    page
}
