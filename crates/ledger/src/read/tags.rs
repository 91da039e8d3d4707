//! Search tokens against what records say: with a month's sealing key, every record opens and carries
//! exactly the tokens that its body calls for. Then what a token does not find is not there.

use std::path::Path;

use crate::entry::tags;
use crate::files;
use crate::format::{Batch, TOKEN_LEN, VERSION};
use crate::key_store::{KeyStoreError, PeriodKey};
use crate::read::{ReadError, Reader, open_leaf};
use crate::walk::{SegmentReader, Step};

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tagging {
    /// Records that opened and carry what they must.
    pub right: u64,
    /// Records that call for tokens and carry none; all of them, where tokens are kept out of leaves.
    pub without: u64,
    /// Records of months whose key is not here.
    pub closed: u64,
    /// Records that do not open, or carry other tokens.
    pub wrong: u64,
    /// The numbers of the first of these.
    pub wrong_seqs: Vec<u64>,
}

const LISTED: usize = 1_000;

impl Reader {
    /// Checks the tokens of every record. The log itself is for `verify` to judge.
    ///
    /// # Errors
    /// [`ReadError`] where bytes are no batch, or a key cannot be had.
    pub fn check_tags(&mut self) -> Result<Tagging, ReadError> {
        let mut found = Tagging::default();
        let dir = self.dir().to_owned();
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| ReadError::Io { path, source }
        };
        for (_, path) in files::segments(&dir).map_err(io(&dir))? {
            let (mut segment, header) = SegmentReader::open(&path).map_err(io(&path))?;
            if header.is_none() {
                return Err(ReadError::Damaged { path, offset: 0 });
            }
            loop {
                let offset = segment.offset();
                match segment.step().map_err(io(&path))? {
                    Step::Batch(batch) => match self.period(batch.header.period)? {
                        Some(key) => check_batch(key, &batch, &mut found)?,
                        None => found.closed += u64::from(batch.header.count),
                    },
                    Step::End => break,
                    Step::Bad => return Err(ReadError::Damaged { path, offset }),
                }
            }
        }
        Ok(found)
    }
}

fn check_batch(
    key: &PeriodKey,
    batch: &Batch<'_>,
    found: &mut Tagging,
) -> Result<(), KeyStoreError> {
    let (batch_key, commitment) = key.batch_key(&batch.header)?;
    let committed = keys::constant_time_eq(&commitment, &batch.header.commitment);
    for (index, leaf) in (0_u32..).zip(batch.leaves()) {
        let Some(leaf) = leaf else { break };
        let body = if committed { open_leaf(&batch_key, index, &leaf) } else { None };
        let expected: Option<Vec<[u8; TOKEN_LEN]>> = body.map(|body| {
            let tags = if leaf.version == VERSION { tags(&body) } else { Vec::new() };
            tags.iter().map(|(field, value)| key.token(*field, value)).collect()
        });
        match expected {
            Some(expected) if expected.concat() == leaf.tokens => found.right += 1,
            Some(_) if leaf.tokens.is_empty() => found.without += 1,
            _ => {
                found.wrong += 1;
                if found.wrong_seqs.len() < LISTED {
                    found.wrong_seqs.push(leaf.seq);
                }
            }
        }
    }
    Ok(())
}
