//! One search of one type: every parameter is understood, or left out of the `self` link, or refused.

use crate::{
    answer::RefusedError,
    form,
    matching::Test,
    records::{Collection, Column, Record},
};

/// Entries of a page where `_count` says nothing.
const PAGE: usize = 20;
/// The most entries of a page, whatever `_count` says.
const LARGEST_PAGE: usize = 100;

/// What is searched and how it is shown.
#[derive(Debug)]
pub(crate) struct Search<'c> {
    filters: Vec<Filter<'c>>,
    sort: Option<(&'c Column, Direction)>,
    count: Option<usize>,
    count_only: bool,
    with_total: bool,
    offset: usize,
    /// Names and values that are answered to, without the page.
    used: Vec<(String, String)>,
}

/// The matches of one page.
#[derive(Debug)]
pub(crate) struct Page {
    /// All matches, on whatever page; `None` if not asked for.
    pub(crate) total: Option<usize>,
    /// This page's.
    pub(crate) records: Vec<Record>,
    /// The query of this page.
    pub(crate) own: String,
    /// The query of the next one.
    pub(crate) next: Option<String>,
}

#[derive(Debug)]
struct Filter<'c> {
    column: &'c Column,
    alternatives: Vec<Test>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Ascending,
    Descending,
}

impl<'c> Search<'c> {
    /// Reads the parameters of a search; with `strict` an unknown one is refused, else ignored.
    pub(crate) fn parse(
        pairs: Vec<(String, String)>,
        columns: &'c [Column],
        base: &str,
        strict: bool,
    ) -> Result<Self, RefusedError> {
        let mut search = Search {
            filters: Vec::new(),
            sort: None,
            count: None,
            count_only: false,
            with_total: true,
            offset: 0,
            used: Vec::new(),
        };
        let mut seen: Vec<String> = Vec::new();
        let mut page = None;
        for (name, value) in pairs {
            if let Some(column) = columns.iter().find(|column| column.parameter.name == name) {
                let alternatives =
                    Test::parse(column.parameter.kind, &value, base).ok_or(RefusedError::Value)?;
                search.filters.push(Filter { column, alternatives });
                search.used.push((name, value));
                continue;
            }
            match name.as_str() {
                "_count" => search.count = Some(value.parse().map_err(|_| RefusedError::Value)?),
                "_sort" => search.sort = Some(sort(&value, columns)?),
                "_summary" => search.count_only = one_of(&value, "count", "false")?,
                "_total" => {
                    search.with_total = value == "estimate" || one_of(&value, "accurate", "none")?;
                }
                "_format" if is_json(&value) => {}
                "_format" => return Err(RefusedError::NotJson),
                "_page" => page = Some(value.clone()),
                // R4, Search §3.1.1.4.2: a modifier that is not supported is always refused.
                name if is_modified(name, columns) => return Err(RefusedError::Modifier),
                _ if strict => return Err(RefusedError::UnknownParameter),
                _ => continue,
            }
            if seen.contains(&name) {
                return Err(RefusedError::Repeated);
            }
            if name != "_page" && name != "_format" {
                search.used.push((name.clone(), value));
            }
            seen.push(name);
        }
        if let Some(page) = page {
            search.offset = search.open(&page).ok_or(RefusedError::Page)?;
        }
        Ok(search)
    }

    /// Filters, sorts and cuts out the page.
    pub(crate) fn run(&self, collection: &Collection) -> Result<Page, RefusedError> {
        let mut matches: Vec<(usize, Record)> = collection
            .records()
            .iter()
            .copied()
            .enumerate()
            .filter(|(position, _)| self.filters.iter().all(|filter| filter.admits(*position)))
            .collect();
        if let Some((column, direction)) = self.sort {
            // What has no date comes last, whatever the direction (R4, Search §3.1.1.5.2).
            matches.sort_by_cached_key(|(position, _)| {
                let date = column.values.get(*position).and_then(crate::matching::Values::earliest);
                (
                    date.is_none(),
                    date.map(|date| match direction {
                        Direction::Ascending => date,
                        Direction::Descending => date.saturating_neg(),
                    }),
                )
            });
        }
        let total = matches.len();
        if self.offset > 0 && self.offset >= total {
            return Err(RefusedError::Page);
        }
        let size = if self.count_only { 0 } else { self.count.unwrap_or(PAGE).min(LARGEST_PAGE) };
        let end = self.offset.saturating_add(size);
        let records: Vec<Record> =
            matches.into_iter().skip(self.offset).take(size).map(|(_, record)| record).collect();
        Ok(Page {
            total: (self.with_total || size == 0).then_some(total),
            own: self.query(self.offset),
            next: (size > 0 && end < total).then(|| self.query(end)),
            records,
        })
    }

    /// The query that asks for the page at this offset.
    fn query(&self, offset: usize) -> String {
        let mark = self.mark(offset);
        let page = (offset > 0).then_some(("_page", mark.as_str()));
        form::encode(
            self.used.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(page),
        )
    }

    /// The value of `_page`: where it starts, and a check that it belongs to this search.
    fn mark(&self, offset: usize) -> String {
        let query = form::encode(self.used.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        format!("{offset:x}.{:016x}", fnv(query.as_bytes()))
    }

    fn open(&self, mark: &str) -> Option<usize> {
        let (offset, _) = mark.split_once('.')?;
        let offset = usize::from_str_radix(offset, 16).ok()?;
        (self.mark(offset) == mark).then_some(offset)
    }
}

impl Filter<'_> {
    fn admits(&self, position: usize) -> bool {
        self.column
            .values
            .get(position)
            .is_some_and(|values| self.alternatives.iter().any(|test| test.matches(values)))
    }
}

/// Whether a value of `_format` or a media type is JSON; `+` may have become a space.
pub(crate) fn is_json(format: &str) -> bool {
    const JSON: &[&str] =
        &["json", "application/json", "application/fhir+json", "application/fhir json"];
    JSON.contains(&format.split(';').next().unwrap_or_default().trim())
}

fn one_of(value: &str, yes: &str, no: &str) -> Result<bool, RefusedError> {
    match value {
        value if value == yes => Ok(true),
        value if value == no => Ok(false),
        _ => Err(RefusedError::Value),
    }
}

/// One date parameter, `-` before it for the newest first.
fn sort<'c>(value: &str, columns: &'c [Column]) -> Result<(&'c Column, Direction), RefusedError> {
    let (name, direction) = match value.strip_prefix('-') {
        Some(name) => (name, Direction::Descending),
        None => (value, Direction::Ascending),
    };
    columns
        .iter()
        .find(|column| {
            column.parameter.name == name && column.parameter.kind == crate::parameter::Kind::Date
        })
        .map(|column| (column, direction))
        .ok_or(RefusedError::Value)
}

/// `code:text`, `subject:Patient.name`, `patient.name`: a known parameter, used otherwise.
fn is_modified(name: &str, columns: &[Column]) -> bool {
    name.split_once([':', '.'])
        .is_some_and(|(plain, _)| columns.iter().any(|column| column.parameter.name == plain))
}

/// FNV-1a, 64 bit: tells one search from another, keeps no secret.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
