//! Method and path to one of a closed list of interactions (FHIR R4 http §3.1.0). Nothing is
//! decoded: a path with `%`, an empty, dotted or foreign segment, or another spelling of a type's
//! name, is no path (`gateway.md`, row 40).

use domain::{FhirId, Reject, ResourceType, scope::Permissions};

/// What a request asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Interaction {
    /// `GET /metadata`.
    Capabilities,
    /// `GET /[type]/[id]`.
    Read(ResourceType, FhirId),
    /// `GET /[type]?…` or `POST /[type]/_search`.
    Search(ResourceType),
    /// Understood, and not served by this version.
    Unbuilt(Unbuilt),
}

/// An interaction that is recognised only to be refused with the right answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unbuilt {
    /// Which one.
    pub kind: UnbuiltKind,
    /// The type it is about, where the path names one.
    pub resource_type: Option<ResourceType>,
}

/// The interactions of FHIR R4 that are not served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnbuiltKind {
    /// `GET /[type]/[id]/_history/[vid]`
    Vread,
    /// `GET /[type]/[id]/_history`
    HistoryInstance,
    /// `GET /[type]/_history`
    HistoryType,
    /// `GET /_history`
    HistorySystem,
    /// `GET /?…`, `POST /_search`
    SearchSystem,
    /// `GET /[type]/[id]/[type]`
    SearchCompartment,
    /// `POST /[type]`
    Create,
    /// `PUT`, `PATCH /[type]/[id]`, or on the type with a condition
    Update,
    /// `DELETE /[type]/[id]`, or on the type with a condition
    Delete,
    /// `POST /`
    Batch,
    /// Any `$operation`
    Operation,
}

impl UnbuiltKind {
    /// Every one.
    pub const ALL: &'static [Self] = &[
        Self::Vread,
        Self::HistoryInstance,
        Self::HistoryType,
        Self::HistorySystem,
        Self::SearchSystem,
        Self::SearchCompartment,
        Self::Create,
        Self::Update,
        Self::Delete,
        Self::Batch,
        Self::Operation,
    ];

    /// Its name in the record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vread => "vread",
            Self::HistoryInstance => "history-instance",
            Self::HistoryType => "history-type",
            Self::HistorySystem => "history-system",
            Self::SearchSystem => "search-system",
            Self::SearchCompartment => "search-compartment",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Batch => "batch",
            Self::Operation => "operation",
        }
    }
}

const MAX_PATH: usize = 512;

impl Interaction {
    /// Reads a method and the raw path after the API's prefix (`/Patient/1`; empty or `/` is the base).
    ///
    /// # Errors
    /// [`Reject::PathMalformed`] for a path outside the grammar, [`Reject::MethodNotAllowed`] for a
    /// method that the path does not have.
    pub fn parse(method: &str, path: &str) -> Result<Self, Reject> {
        let segments = segments(path)?;
        let unbuilt = |kind, resource_type| Ok(Self::Unbuilt(Unbuilt { kind, resource_type }));
        use UnbuiltKind as U;
        let (first, rest) = match segments.split_first() {
            None => {
                return match method {
                    "GET" => unbuilt(U::SearchSystem, None),
                    "POST" => unbuilt(U::Batch, None),
                    _ => Err(Reject::MethodNotAllowed),
                };
            }
            Some((first, rest)) => (*first, rest),
        };
        if rest.is_empty() {
            match (first, method) {
                ("metadata", "GET") => return Ok(Self::Capabilities),
                ("_history", "GET") => return unbuilt(U::HistorySystem, None),
                ("_search", "POST") => return unbuilt(U::SearchSystem, None),
                ("metadata" | "_history" | "_search", _) => return Err(Reject::MethodNotAllowed),
                (name, _) if is_operation(name) => return operation(method, None),
                _ => {}
            }
        }
        let kind = ResourceType::parse(first).map_err(|_| Reject::PathMalformed)?;
        let of = Some(kind);
        match (rest, method) {
            ([], "GET") | (["_search"], "POST") => Ok(Self::Search(kind)),
            ([], "POST") => unbuilt(U::Create, of),
            ([], "PUT" | "PATCH") => unbuilt(U::Update, of),
            ([], "DELETE") => unbuilt(U::Delete, of),
            (["_history"], "GET") => unbuilt(U::HistoryType, of),
            ([] | ["_search" | "_history"], _) => Err(Reject::MethodNotAllowed),
            ([name], _) if is_operation(name) => operation(method, of),
            ([id, tail @ ..], _) => instance(method, kind, logical_id(id)?, tail),
        }
    }

    /// Its name in the record.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Capabilities => "capabilities",
            Self::Read(..) => "read",
            Self::Search(_) => "search-type",
            Self::Unbuilt(unbuilt) => unbuilt.kind.as_str(),
        }
    }

    /// The permission that a scope must have for it; none where no scope could grant it.
    pub const fn permission(&self) -> Option<Permissions> {
        use UnbuiltKind as U;
        match self {
            Self::Read(..) => Some(Permissions::READ),
            Self::Search(_) => Some(Permissions::SEARCH),
            Self::Capabilities => None,
            Self::Unbuilt(unbuilt) => match unbuilt.kind {
                U::Vread | U::HistoryInstance => Some(Permissions::READ),
                U::HistoryType => Some(Permissions::SEARCH),
                U::Create => Some(Permissions::CREATE),
                U::Update => Some(Permissions::UPDATE),
                U::Delete => Some(Permissions::DELETE),
                U::HistorySystem
                | U::SearchSystem
                | U::SearchCompartment
                | U::Batch
                | U::Operation => None,
            },
        }
    }
}

fn segments(path: &str) -> Result<Vec<&str>, Reject> {
    if path.len() > MAX_PATH {
        return Err(Reject::PathMalformed);
    }
    let Some(rest) = path.strip_prefix('/') else {
        return if path.is_empty() { Ok(Vec::new()) } else { Err(Reject::PathMalformed) };
    };
    if rest.is_empty() {
        return Ok(Vec::new());
    }
    let lawful = |segment: &str| {
        !segment.is_empty()
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._$".contains(&b))
            && !segment.bytes().all(|b| b == b'.')
    };
    rest.split('/')
        .map(|segment| if lawful(segment) { Ok(segment) } else { Err(Reject::PathMalformed) })
        .collect()
}

fn logical_id(text: &str) -> Result<FhirId, Reject> {
    FhirId::parse(text).map_err(|_| Reject::PathMalformed)
}

fn is_operation(segment: &str) -> bool {
    segment.strip_prefix('$').is_some_and(|name| !name.is_empty() && !name.contains('$'))
}

fn operation(method: &str, resource_type: Option<ResourceType>) -> Result<Interaction, Reject> {
    match method {
        "GET" | "POST" => {
            Ok(Interaction::Unbuilt(Unbuilt { kind: UnbuiltKind::Operation, resource_type }))
        }
        _ => Err(Reject::MethodNotAllowed),
    }
}

fn instance(
    method: &str,
    kind: ResourceType,
    id: FhirId,
    tail: &[&str],
) -> Result<Interaction, Reject> {
    use UnbuiltKind as U;
    let unbuilt =
        |name| Ok(Interaction::Unbuilt(Unbuilt { kind: name, resource_type: Some(kind) }));
    match (tail, method) {
        ([], "GET") => Ok(Interaction::Read(kind, id)),
        ([], "PUT" | "PATCH") => unbuilt(U::Update),
        ([], "DELETE") => unbuilt(U::Delete),
        ([], _) => Err(Reject::MethodNotAllowed),
        (["_history"], "GET") => unbuilt(U::HistoryInstance),
        (["_history", version], "GET") => logical_id(version).and_then(|_| unbuilt(U::Vread)),
        (["_history"] | ["_history", _], _) => Err(Reject::MethodNotAllowed),
        ([name], _) if is_operation(name) => operation(method, Some(kind)),
        ([other], "GET") | ([other, "_search"], "POST") => ResourceType::parse(other)
            .map_err(|_| Reject::PathMalformed)
            .and_then(|_| unbuilt(U::SearchCompartment)),
        _ => Err(Reject::PathMalformed),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_confusing_path_is_no_path_row_40() {
        for bad in [
            "/Patient/%2e%2e",
            "/Patient/..",
            "/Patient/.",
            "/Patient/...",
            "/Patient//1",
            "//Patient/1",
            "/Patient/1/",
            "/Patient/",
            "/Patient;x=1/1",
            "/Patient/1;v=2",
            "/Patient/a\\b",
            "/Patient/a%2fb",
            "/Patient/a%00",
            "/Patient/a\0",
            "/patient/1",
            "/PATIENT/1",
            "/Patient/1#x",
            "/Patient/é",
            "/Foo/1",
            "Patient/1",
            "http://x/Patient/1",
            "/Patient/a_b",
            "/$",
            "/Patient/1/_history/..",
            "/Patient/1/observation",
            "/metadata/x",
        ] {
            for method in ["GET", "POST", "PUT"] {
                assert_eq!(Interaction::parse(method, bad), Err(Reject::PathMalformed), "{bad}");
            }
        }
        let long = format!("/Patient/{}", "a".repeat(65));
        assert_eq!(Interaction::parse("GET", &long), Err(Reject::PathMalformed));
    }

    #[test]
    fn every_interaction_of_the_standard_is_recognised() {
        use UnbuiltKind as U;
        let id = FhirId::parse("1").unwrap();
        let kind = |method, path| match Interaction::parse(method, path) {
            Ok(Interaction::Unbuilt(unbuilt)) => unbuilt.kind,
            other => panic!("{method} {path}: {other:?}"),
        };
        let read = Interaction::Read(ResourceType::Patient, id);
        assert_eq!(Interaction::parse("GET", "/Patient/1"), Ok(read));
        let search = Ok(Interaction::Search(ResourceType::Patient));
        assert_eq!(Interaction::parse("GET", "/Patient"), search);
        assert_eq!(Interaction::parse("POST", "/Patient/_search"), search);
        assert_eq!(Interaction::parse("GET", "/metadata"), Ok(Interaction::Capabilities));
        assert_eq!(kind("GET", "/Patient/1/_history"), U::HistoryInstance);
        assert_eq!(kind("GET", "/Patient/1/_history/2"), U::Vread);
        assert_eq!(kind("GET", "/Patient/_history"), U::HistoryType);
        assert_eq!(kind("GET", "/_history"), U::HistorySystem);
        assert_eq!(kind("GET", "/"), U::SearchSystem);
        assert_eq!(kind("GET", ""), U::SearchSystem);
        assert_eq!(kind("POST", "/_search"), U::SearchSystem);
        assert_eq!(kind("POST", "/"), U::Batch);
        assert_eq!(kind("GET", "/Patient/1/Observation"), U::SearchCompartment);
        assert_eq!(kind("POST", "/Patient"), U::Create);
        assert_eq!(kind("PUT", "/Patient/1"), U::Update);
        assert_eq!(kind("PATCH", "/Patient/1"), U::Update);
        assert_eq!(kind("DELETE", "/Patient/1"), U::Delete);
        assert_eq!(kind("GET", "/Patient/1/$everything"), U::Operation);
        assert_eq!(kind("POST", "/$export"), U::Operation);
        for method in ["HEAD", "OPTIONS", "TRACE", "get", ""] {
            assert_eq!(Interaction::parse(method, "/Patient/1"), Err(Reject::MethodNotAllowed));
        }
    }

    proptest! {
        #[test]
        fn no_path_panics_and_a_read_names_what_was_asked(path in "[/A-Za-z.$_%-]{0,40}|\\PC{0,40}") {
            if let Ok(Interaction::Read(kind, id)) = Interaction::parse("GET", &path) {
                prop_assert_eq!(format!("/{kind}/{id}"), path);
            }
        }
    }
}
