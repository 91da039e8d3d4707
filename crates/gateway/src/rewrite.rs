//! References to the upstream's own address become references to ours (`gateway.md`, row 19).

use std::borrow::Cow;

/// One base for another, in JSON text. An address has no character that JSON must escape; a slash
/// may be escaped all the same.
#[derive(Debug)]
pub(crate) struct Rewrite {
    theirs: String,
    theirs_escaped: String,
    /// What both spellings have in common.
    authority: String,
    ours: String,
}

impl Rewrite {
    pub(crate) fn new(theirs: &str, ours: &str) -> Self {
        let after = theirs.split_once("://").map_or(theirs, |(_, after)| after);
        Self {
            theirs: theirs.to_owned(),
            theirs_escaped: theirs.replace('/', "\\/"),
            authority: after.split('/').next().unwrap_or_default().to_owned(),
            ours: ours.to_owned(),
        }
    }

    /// Whether a text has anything to rewrite; asked once for a whole answer.
    pub(crate) fn concerns(&self, raw: &str) -> bool {
        self.theirs != self.ours && raw.contains(self.authority.as_str())
    }

    pub(crate) fn apply<'a>(&self, raw: &'a str) -> Cow<'a, str> {
        let (plain, escaped) = (raw.contains(&self.theirs), raw.contains(&self.theirs_escaped));
        if plain || escaped {
            Cow::Owned(
                raw.replace(&self.theirs, &self.ours).replace(&self.theirs_escaped, &self.ours),
            )
        } else {
            Cow::Borrowed(raw)
        }
    }
}
