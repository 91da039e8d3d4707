//! A search as a closed tree: every predicate names a parameter of the table and holds typed values.
//! Chains, modifiers, `_has`, includes and every other parameter that could ask about what the
//! asker may not read do not parse (`gateway.md`, rows 1 to 3, 6, 7, 30, 41).

use std::fmt;

use domain::scope::{ScopeFilter, TokenValue};
use domain::{FhirId, Reject, ResourceType};

use crate::form;
use crate::table::{self, Kind, Parameter, ResourceTable, table_of};

/// The most alternatives of one parameter.
const MAX_ALTERNATIVES: usize = 50;
/// The largest page that is asked of an upstream; a larger wish is cut to it.
const MAX_COUNT: u16 = 200;
const MAX_SORT: usize = 3;

/// What a search request holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Query {
    /// A search of its own.
    Search(Search),
    /// The next page of an earlier one: an opaque handle.
    Page(String),
}

/// One search over one type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Search {
    /// The type.
    pub resource_type: ResourceType,
    /// All of which must hold.
    pub predicates: Vec<Predicate>,
    /// `_sort`, most significant first.
    pub sort: Vec<Sort>,
    /// `_count`, at least 1.
    pub count: Option<u16>,
}

/// One parameter with its alternatives, of which one must hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Predicate {
    /// Which parameter.
    pub parameter: &'static Parameter,
    /// Its values.
    pub values: Values,
}

/// The values of a parameter, by its kind; never empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Values {
    /// Logical ids.
    Ids(Vec<FhirId>),
    /// Ids of patients.
    Patients(Vec<FhirId>),
    /// Tokens.
    Tokens(Vec<TokenValue>),
    /// A prefix (`ge`, empty for none) and a date.
    Dates(Vec<String>),
    /// Beginnings of words.
    Texts(Vec<String>),
    /// Ids of another type.
    References(ResourceType, Vec<FhirId>),
}

/// One key of `_sort`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sort {
    /// By which parameter.
    pub parameter: &'static Parameter,
    /// Largest first.
    pub descending: bool,
}

impl Query {
    /// Reads the query and the form body of a search of `resource_type`; `base` is our own FHIR
    /// base, so that absolute references to it are understood.
    ///
    /// # Errors
    /// [`Reject::TokenMisplaced`], [`Reject::FormatRefused`], [`Reject::SearchParameterRefused`] or
    /// [`Reject::SearchMalformed`]; for a type without a search, [`Reject::InteractionRefused`].
    pub fn parse(
        resource_type: ResourceType,
        query: Option<&str>,
        body: Option<&[u8]>,
        base: &str,
    ) -> Result<Self, Reject> {
        let mut pairs = form::merged(query, body)?;
        if pairs.iter().any(|(name, _)| name == "access_token") {
            return Err(Reject::TokenMisplaced);
        }
        take_format(&mut pairs)?;
        if let [(name, handle)] = pairs.as_slice()
            && name == "_page"
        {
            return Ok(Self::Page(handle.clone()));
        }
        let table = table_of(resource_type).ok_or(Reject::InteractionRefused)?;
        let mut search =
            Search { resource_type, predicates: Vec::new(), sort: Vec::new(), count: None };
        let mut seen: Vec<&str> = Vec::new();
        for (name, value) in &pairs {
            let repeated = seen.contains(&name.as_str());
            seen.push(name);
            match name.as_str() {
                "_count" | "_sort" if repeated => return Err(Reject::SearchMalformed),
                "_count" => search.count = Some(count(value)?),
                "_sort" => search.sort = sort(table, value)?,
                name => {
                    let parameter = table.parameter(name).ok_or(Reject::SearchParameterRefused)?;
                    // Dates make ranges and tokens intersect; who is meant is said once.
                    let repeatable = matches!(parameter.kind, Kind::Date | Kind::Token(_));
                    if repeated && !repeatable {
                        return Err(Reject::SearchMalformed);
                    }
                    let values = values(parameter.kind, value, base)?;
                    search.predicates.push(Predicate { parameter, values });
                }
            }
        }
        search.normalise();
        Ok(Self::Search(search))
    }
}

/// Refuses a read's query: `_format` is all it may have.
///
/// # Errors
/// As [`Query::parse`].
pub fn read_query(query: Option<&str>) -> Result<(), Reject> {
    let mut pairs = form::merged(query, None)?;
    if pairs.iter().any(|(name, _)| name == "access_token") {
        return Err(Reject::TokenMisplaced);
    }
    take_format(&mut pairs)?;
    if pairs.is_empty() { Ok(()) } else { Err(Reject::SearchParameterRefused) }
}

/// Whether a query holds an access token, where none belongs (RFC 6750 §2.3 is not offered).
pub fn names_access_token(query: Option<&str>) -> bool {
    form::merged(query, None)
        .is_ok_and(|pairs| pairs.iter().any(|(name, _)| name == "access_token"))
}

impl Search {
    /// The patients that the query names, or `None` if it names none. Two parameters that name
    /// patients must both hold.
    pub fn patients(&self) -> Option<Vec<&FhirId>> {
        let of_patient = self.resource_type == ResourceType::Patient;
        let mut named: Option<Vec<&FhirId>> = None;
        for predicate in &self.predicates {
            let ids = match &predicate.values {
                Values::Patients(ids) => ids,
                Values::Ids(ids) if of_patient => ids,
                _ => continue,
            };
            named = Some(match named {
                None => ids.iter().collect(),
                Some(before) => before.into_iter().filter(|id| ids.contains(id)).collect(),
            });
        }
        named
    }

    /// This search over these patients' records only, whatever patients it named before.
    #[must_use]
    pub fn narrowed_to_patients(mut self, patients: Vec<FhirId>) -> Self {
        let of_patient = self.resource_type == ResourceType::Patient;
        self.predicates.retain(|predicate| match predicate.values {
            Values::Patients(_) => false,
            Values::Ids(_) => !of_patient,
            _ => true,
        });
        self.predicates.push(if of_patient {
            Predicate { parameter: &table::ID, values: Values::Ids(patients) }
        } else {
            Predicate { parameter: &table::PATIENT, values: Values::Patients(patients) }
        });
        self.normalise();
        self
    }

    /// This search with one more parameter, of which one of these values must hold; they are of one
    /// parameter. `_security` is left to the local evaluation, since servers without labels refuse it.
    #[must_use]
    pub fn narrowed_to_any(mut self, filters: &[&ScopeFilter]) -> Self {
        let parameter = filters
            .first()
            .and_then(|filter| table_of(self.resource_type)?.parameter(filter.parameter.as_str()));
        if let Some(parameter) = parameter {
            let values = filters.iter().map(|filter| filter.value.clone()).collect();
            self.predicates.push(Predicate { parameter, values: Values::Tokens(values) });
            self.normalise();
        }
        self
    }

    /// One order, nothing twice.
    fn normalise(&mut self) {
        self.predicates.sort_by_cached_key(Predicate::to_string);
        self.predicates.dedup();
    }
}

/// `application/x-www-form-urlencoded`, canonical: reads back as the same search.
impl fmt::Display for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for predicate in &self.predicates {
            write!(f, "{separator}{predicate}")?;
            separator = "&";
        }
        if let Some(count) = self.count {
            write!(f, "{separator}_count={count}")?;
            separator = "&";
        }
        for (index, sort) in self.sort.iter().enumerate() {
            let before = if index == 0 { format!("{separator}_sort=") } else { ",".into() };
            let sign = if sort.descending { "-" } else { "" };
            write!(f, "{before}{sign}{}", sort.parameter.name)?;
        }
        Ok(())
    }
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list<T>(
            f: &mut fmt::Formatter<'_>,
            values: &[T],
            print: impl Fn(&T) -> String,
        ) -> fmt::Result {
            values.iter().enumerate().try_for_each(|(index, value)| {
                let before = if index == 0 { "" } else { "," };
                write!(f, "{before}{}", form::encode(&print(value)))
            })
        }
        write!(f, "{}=", self.parameter.name)?;
        match &self.values {
            Values::Ids(ids) => list(f, ids, ToString::to_string),
            Values::Patients(ids) => list(f, ids, |id| format!("Patient/{id}")),
            Values::References(kind, ids) => list(f, ids, |id| format!("{kind}/{id}")),
            Values::Tokens(tokens) => list(f, tokens, ToString::to_string),
            Values::Dates(texts) | Values::Texts(texts) => list(f, texts, Clone::clone),
        }
    }
}

fn take_format(pairs: &mut form::Pairs) -> Result<(), Reject> {
    const JSON: &[&str] = &["json", "application/json", "application/fhir+json"];
    let asked = pairs.iter().filter(|(name, _)| name == "_format");
    if asked.clone().count() > 1 {
        return Err(Reject::SearchMalformed);
    }
    // An unencoded `+` of the media type arrives as a space.
    if asked.into_iter().any(|(_, value)| !JSON.contains(&value.replace(' ', "+").as_str())) {
        return Err(Reject::FormatRefused);
    }
    pairs.retain(|(name, _)| name != "_format");
    Ok(())
}

fn count(text: &str) -> Result<u16, Reject> {
    let digits = (1..=6).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let wish: u32 = if digits { text.parse().unwrap_or_default() } else { 0 };
    match u16::try_from(wish.min(u32::from(MAX_COUNT))) {
        // A count of nothing asks only how many there are.
        Ok(0) | Err(_) => Err(Reject::SearchMalformed),
        Ok(count) => Ok(count),
    }
}

fn sort(table: &ResourceTable, text: &str) -> Result<Vec<Sort>, Reject> {
    let keys: Vec<_> = text
        .split(',')
        .map(|key| {
            let (name, descending) = match key.strip_prefix('-') {
                Some(name) => (name, true),
                None => (key, false),
            };
            table
                .parameter(name)
                .filter(|parameter| matches!(parameter.kind, Kind::Id | Kind::Date))
                .map(|parameter| Sort { parameter, descending })
                .ok_or(Reject::SearchParameterRefused)
        })
        .collect::<Result<_, _>>()?;
    if keys.len() > MAX_SORT { Err(Reject::SearchMalformed) } else { Ok(keys) }
}

fn values(kind: Kind, text: &str, base: &str) -> Result<Values, Reject> {
    // FHIR's escapes (`\,` `\|` `\$`) and composites are not offered.
    if text.contains(['\\', '$']) {
        return Err(Reject::SearchMalformed);
    }
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    if parts.len() > MAX_ALTERNATIVES || parts.iter().any(|part| part.is_empty()) {
        return Err(Reject::SearchMalformed);
    }
    fn all<T>(parts: &[&str], read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Reject> {
        parts.iter().map(|part| read(part).ok_or(Reject::SearchMalformed)).collect()
    }
    Ok(match kind {
        Kind::Id => Values::Ids(all(&parts, |t| FhirId::parse(t).ok())?),
        Kind::Patient => {
            Values::Patients(all(&parts, |t| reference(t, ResourceType::Patient, base))?)
        }
        Kind::Reference(to) => Values::References(to, all(&parts, |t| reference(t, to, base))?),
        Kind::Token(_) => Values::Tokens(all(&parts, TokenValue::parse)?),
        Kind::Date => Values::Dates(all(&parts, |t| is_date(t).then(|| t.to_owned()))?),
        Kind::Text => Values::Texts(all(&parts, |t| Some(t.to_owned()))?),
    })
}

fn reference(text: &str, to: ResourceType, base: &str) -> Option<FhirId> {
    let own = text.strip_prefix(base).and_then(|rest| rest.strip_prefix('/')).unwrap_or(text);
    let id = match own.split_once('/') {
        Some((kind, id)) => (kind == to.name()).then_some(id)?,
        None => own,
    };
    FhirId::parse(id).ok()
}

/// `[prefix]YYYY[-MM[-DD[Thh:mm[:ss[.f]][Z|±hh:mm]]]]` by its shape.
fn is_date(text: &str) -> bool {
    const PREFIXES: [&str; 9] = ["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"];
    let date = PREFIXES.iter().find_map(|p| text.strip_prefix(p)).unwrap_or(text);
    let shape: String = date.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let (day, time) = shape.split_once('T').map_or((shape.as_str(), None), |(d, t)| (d, Some(t)));
    let Some(time) = time else { return ["0000", "0000-00", "0000-00-00"].contains(&day) };
    let clock = time
        .strip_suffix('Z')
        .or_else(|| time.strip_suffix("+00:00"))
        .or_else(|| time.strip_suffix("-00:00"))
        .unwrap_or(time);
    let clock = match clock.split_once('.') {
        Some((clock, fraction)) => {
            let digits = (1..=9).contains(&fraction.len()) && fraction.bytes().all(|b| b == b'0');
            if digits && clock == "00:00:00" { clock } else { "" }
        }
        None => clock,
    };
    day == "0000-00-00" && ["00:00", "00:00:00"].contains(&clock)
}

#[cfg(test)]
mod tests;
