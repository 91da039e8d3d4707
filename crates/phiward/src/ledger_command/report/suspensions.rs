//! Agencies whose disclosures may not be listed yet (45 CFR 164.528(a)(2)): a TOML file that the privacy
//! officer keeps, one entry for each statement.

use std::path::Path;

use domain::{ClientId, Timestamp};
use report::{Period, Suspension};
use serde::Deserialize;

use crate::failure::Failure;
use crate::ledger_command::read_file;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    suspension: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    client: String,
    until: String,
    /// The agency's statement, for those who keep the file.
    #[serde(default, rename = "statement")]
    _statement: String,
}

/// Reads the file.
pub(super) fn read(path: &Path) -> Result<Vec<Suspension>, Failure> {
    parse(&read_file(path)?).map_err(|what| Failure::usage(format!("{}: {what}", path.display())))
}

fn parse(text: &str) -> Result<Vec<Suspension>, String> {
    let file: File = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    let entry = |entry: Entry| {
        let client = ClientId::parse(&entry.client).map_err(|_| "client: not a client id")?;
        let until: Option<Timestamp> =
            Period::parse(None, Some(&entry.until)).ok().and_then(|period| period.until);
        let until = until.ok_or("until: a date, or RFC 3339")?;
        Ok(Suspension { client, until })
    };
    file.suspension.into_iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_without_an_end_or_with_a_typing_error_is_refused() {
        let good =
            "[[suspension]]\nclient = \"agency\"\nuntil = \"2027-01-31\"\nstatement = \"x\"\n";
        let read = parse(good).unwrap();
        assert_eq!(read[0].client.as_str(), "agency");
        assert_eq!(read[0].until, Timestamp::from_secs(1_801_440_000)); // 2027-02-01T00:00:00Z
        assert!(parse("").unwrap().is_empty());
        for bad in [
            "[[suspension]]\nclient = \"agency\"\n",
            "[[suspension]]\nclient = \"agency\"\nuntil = \"soon\"\n",
            "[[suspension]]\nclient = \"agency\"\nuntil = \"2027-01-31\"\nfrom = \"x\"\n",
            "[[suspensions]]\nclient = \"agency\"\nuntil = \"2027-01-31\"\n",
            "not toml",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
