//! The synthetic records as they are checked in: raw JSON, handed out unchanged.
//!
//! Loading reads type and id of each line and nothing more; what a search compares is
//! read for a whole resource type when it is first searched.

use std::{
    collections::BTreeMap,
    sync::{LazyLock, OnceLock},
};

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{
    matching::Values,
    parameter::{Parameter, parameters_of},
};

/// All resources of one type.
#[derive(Debug, Default)]
pub(crate) struct Collection {
    records: Vec<Record>,
    positions: BTreeMap<&'static str, usize>,
    columns: OnceLock<Vec<Column>>,
}

/// One resource.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    /// The logical id.
    pub(crate) id: &'static str,
    /// The resource as it is on disk.
    pub(crate) json: &'static RawValue,
}

/// What one search parameter reads, for each record in order.
#[derive(Debug)]
pub(crate) struct Column {
    /// The parameter.
    pub(crate) parameter: &'static Parameter,
    /// One entry per record of the collection.
    pub(crate) values: Vec<Values>,
}

/// The resource types there are, sorted, with their resources.
pub(crate) fn collections() -> impl Iterator<Item = (&'static str, &'static Collection)> {
    RECORDS.iter().map(|(kind, collection)| (*kind, collection))
}

/// The resources of one type; `None` if there is no such type.
pub(crate) fn collection(kind: &str) -> Option<&'static Collection> {
    RECORDS.get(kind)
}

impl Collection {
    /// The resource with this id.
    pub(crate) fn read(&self, id: &str) -> Option<Record> {
        self.records.get(*self.positions.get(id)?).copied()
    }

    /// Every resource, in the order of the file.
    pub(crate) fn records(&self) -> &[Record] {
        &self.records
    }

    /// What the parameters of `kind`, which must be this collection's type, read.
    pub(crate) fn columns(&self, kind: &str) -> &[Column] {
        self.columns.get_or_init(|| {
            let trees: Vec<Value> = self
                .records
                .iter()
                .map(|record| serde_json::from_str(record.json.get()).unwrap_or_default())
                .collect();
            parameters_of(kind)
                .map(|parameter| Column {
                    parameter,
                    values: trees.iter().map(|tree| Values::read(tree, parameter)).collect(),
                })
                .collect()
        })
    }
}

const FILE: &str = include_str!("../data/records.ndjson");

static RECORDS: LazyLock<BTreeMap<&'static str, Collection>> = LazyLock::new(|| load(FILE));

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "resourceType")]
    kind: &'static str,
    id: &'static str,
}

/// A line that is no resource is left out; a test counts the lines of the file.
fn load(file: &'static str) -> BTreeMap<&'static str, Collection> {
    let mut all: BTreeMap<&'static str, Collection> = BTreeMap::new();
    for line in file.lines() {
        let Ok(json) = serde_json::from_str::<&RawValue>(line) else {
            continue;
        };
        let Ok(Head { kind, id }) = serde_json::from_str(line) else {
            continue;
        };
        let collection = all.entry(kind).or_default();
        collection.positions.insert(id, collection.records.len());
        collection.records.push(Record { id, json });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::{FILE, collections};

    #[test]
    fn every_line_of_the_file_is_served_under_an_id_of_its_own() {
        let served: usize = collections().map(|(_, all)| all.positions.len()).sum();
        assert_eq!(served, FILE.lines().count());
    }
}
