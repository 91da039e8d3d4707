//! How a report reads the ledger: recorded first, with a filter where the leaves carry tokens, and up
//! to one signed checkpoint where it is to be proven.

use std::collections::BTreeSet;

use domain::Kind;
use ledger::Field;
use ledger::read::Record;
use report::{Claim, Directory, Period, Proof, Recount};

use super::Common;
use crate::config::Config;
use crate::failure::Failure;
use crate::keyring::Keyring;
use crate::ledger_access::{Access, Reading};
use crate::ledger_command::{failed, public_key};
use crate::output;

/// A report that may read.
pub(super) struct Run<'a> {
    common: &'a Common,
    config: Config,
    keyring: Keyring,
    access: Access,
}

/// What was read.
pub(super) struct Read {
    recount: Option<Recount>,
    seen: BTreeSet<u64>,
    count: u64,
}

impl<'a> Run<'a> {
    /// Asks for leave, which is recorded.
    pub(super) fn ask(
        common: &'a Common,
        command: &'static str,
        asked: &[(&'static str, Option<String>)],
    ) -> Result<Self, Failure> {
        let config = Config::read(&common.ledger.config.config)?;
        let keyring = Keyring::open_existing(&config)?;
        let mut reading = Reading::new(Kind::ReportRun, command)
            .asked("since", common.since.as_deref())
            .asked("until", common.until.as_deref());
        for (name, value) in asked {
            reading = reading.asked(name, value.as_deref());
        }
        let dir = common.ledger.dir.as_deref();
        let access = Access::ask(&config, &keyring, dir, &reading, &common.officer)?;
        Ok(Self { common, config, keyring, access })
    }

    /// Who is registered.
    pub(super) fn directory(&self) -> Result<Directory, Failure> {
        super::directory::read(&self.config, &self.keyring)
    }

    /// Reads the records of a period, those about somebody or all.
    pub(super) fn read(
        &self,
        about: Option<(Field, &str)>,
        period: Period,
        take: &mut dyn FnMut(&Record),
    ) -> Result<Read, Failure> {
        let mut reader = self.access.reader();
        // Without tokens in the leaves every record is opened, and the report itself looks.
        let about = about.filter(|_| self.config.ledger.tokens_in_leaves);
        let recount = if self.common.prove {
            let key = public_key(&self.common.ledger)?;
            let waiting = output::counting(0);
            waiting.set_message("hashing the sealed leaves");
            waiting.enable_steady_tick(std::time::Duration::from_millis(200));
            let begun = Recount::begin(self.access.dir(), &mut reader, &key, about, period);
            waiting.finish_and_clear();
            Some(begun.map_err(|error| failed(&error))?)
        } else {
            None
        };
        let bar = output::counting(reader.count().map_err(|error| failed(&error))?);
        let mut cursor = reader.from_seq(0).map_err(|error| failed(&error))?;
        if let Some((field, value)) = about {
            cursor = cursor.only(field, value);
        }
        let mut read = Read { recount, seen: BTreeSet::new(), count: 0 };
        while let Some(record) = cursor.next_record().map_err(|error| failed(&error))? {
            if read.recount.as_ref().is_some_and(|recount| record.leaf >= recount.size()) {
                break;
            }
            bar.set_position(record.seq);
            if !period.contains(record.time) {
                continue;
            }
            read.count = read.count.saturating_add(1);
            if read.recount.is_some() && about.is_some() {
                read.seen.insert(record.seq);
            }
            take(&record);
        }
        bar.finish_and_clear();
        Ok(read)
    }
}

impl Read {
    /// The proof, if it was asked for.
    pub(super) fn prove(self, listed: &[u64]) -> Result<Option<Proof>, Failure> {
        let Some(recount) = self.recount else { return Ok(None) };
        let claim = Claim { read: &self.seen, count: self.count, listed };
        recount.prove(&claim).map(Some).map_err(|error| failed(&error))
    }
}

/// A SHA-256 in hex.
pub(super) fn sha256(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        if !pair.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(hash)
}
