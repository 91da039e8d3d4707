//! One pass over a resource's raw JSON, without a tree: what is needed to judge it, and nothing
//! else. Every patient that any reference names is found, at any depth. A resource with a repeated
//! key, too deep, or of another shape than FHIR's where we read it, is [`Unreadable`].

use std::borrow::Cow;
use std::fmt;

use domain::{FhirId, ResourceType};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::reference::Target;

/// How deep a resource may nest.
pub const MAX_DEPTH: u8 = 48;
/// The most keys of one object.
const MAX_KEYS: usize = 256;

/// Text that cannot be understood whole, and is therefore withheld.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unreadable;

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a readable FHIR resource")
    }
}

impl std::error::Error for Unreadable {}

macro_rules! elements {
    ($($name:ident = $key:literal, $shape:ident;)*) => {
        /// A top-level element whose codes or references are read.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[allow(missing_docs, reason = "each variant is the FHIR element of the same name")]
        pub enum Element { $($name,)* }

        fn top(key: &str) -> Mode {
            match key { $($key => Mode::$shape(Element::$name),)* other => special(other) }
        }
    };
}

elements! {
    Beneficiary = "beneficiary", Subject;
    Category = "category", Concept;
    Class = "class", Coding;
    ClinicalStatus = "clinicalStatus", Concept;
    Code = "code", Concept;
    Criticality = "criticality", Concept;
    Gender = "gender", Concept;
    Identifier = "identifier", Identifier;
    Intent = "intent", Concept;
    LifecycleStatus = "lifecycleStatus", Concept;
    MedicationCodeableConcept = "medicationCodeableConcept", Concept;
    Patient = "patient", Subject;
    ReactionSubstance = "reaction", Reaction;
    Status = "status", Concept;
    Subject = "subject", Subject;
    Type = "type", Concept;
    VaccineCode = "vaccineCode", Concept;
    VerificationStatus = "verificationStatus", Concept;
}

/// What a resource says about itself, as far as judging it needs.
#[derive(Debug)]
pub struct Facts<'a> {
    /// `resourceType`
    pub resource_type: ResourceType,
    /// `id`
    pub id: FhirId,
    /// Every local Patient that any reference names, each once.
    pub patients: Vec<FhirId>,
    /// Whether a reference names a patient that cannot be told to be a local one.
    pub strange_patient: bool,
    /// Codes of `meta.security`, of the resource and of contained ones.
    pub labels: Vec<Cow<'a, str>>,
    /// The types of contained resources; `None` for one that is unknown.
    pub contained: Vec<Option<ResourceType>>,
    label_systems: Vec<Cow<'a, str>>,
    codes: Vec<Coded<'a>>,
    subjects: Vec<(Element, Target)>,
}

#[derive(Debug)]
struct Coded<'a> {
    element: Element,
    system: Cow<'a, str>,
    code: Cow<'a, str>,
    /// A `code` element: its system is implied by the definition.
    bare: bool,
}

impl<'a> Facts<'a> {
    /// System, code and whether the system is implied, of each coding of an element.
    pub fn codings(&self, element: Element) -> impl Iterator<Item = (&str, &str, bool)> {
        self.codes
            .iter()
            .filter(move |coded| coded.element == element)
            .map(|coded| (&*coded.system, &*coded.code, coded.bare))
    }

    /// System and code of each security label.
    pub fn security(&self) -> impl Iterator<Item = (&str, &str)> {
        self.label_systems.iter().zip(&self.labels).map(|(system, code)| (&**system, &**code))
    }

    /// Where the references of a subject element point.
    pub fn subjects(&self, element: Element) -> impl Iterator<Item = &Target> {
        self.subjects.iter().filter(move |(at, _)| *at == element).map(|(_, target)| target)
    }
}

/// Reads one resource; `base` is the upstream's FHIR base without a trailing slash.
///
/// # Errors
/// [`Unreadable`] if anything that matters cannot be read for certain.
pub fn scan<'a>(raw: &'a str, base: &str) -> Result<Facts<'a>, Unreadable> {
    let mut found = Found::default();
    let mut json = serde_json::Deserializer::from_str(raw);
    let mut pending = Pending::default();
    let root = Node { mode: Mode::Top, found: &mut found, pending: &mut pending, base, depth: 0 };
    root.deserialize(&mut json).map_err(|_| Unreadable)?;
    json.end().map_err(|_| Unreadable)?;
    found.finish().ok_or(Unreadable)
}

/// Whether a text is JSON at all.
pub fn is_json(raw: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(raw).is_ok()
}

/// What the value at hand is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Top,
    Plain,
    Meta,
    Label,
    Contained,
    Concept(Element),
    Coding(Element),
    Identifier(Element),
    Reaction(Element),
    Subject(Element),
    // Leaves.
    TypeName,
    LogicalId,
    ContainedType,
    System,
    Code,
    Reference,
    ReferenceType,
}

fn special(key: &str) -> Mode {
    match key {
        "resourceType" => Mode::TypeName,
        "id" => Mode::LogicalId,
        "meta" => Mode::Meta,
        "contained" => Mode::Contained,
        other => plain(other),
    }
}

fn plain(key: &str) -> Mode {
    match key {
        "reference" => Mode::Reference,
        "type" => Mode::ReferenceType,
        // A resource anywhere inside another is a contained one.
        "resourceType" => Mode::ContainedType,
        _ => Mode::Plain,
    }
}

impl Mode {
    fn child(self, key: &str) -> Self {
        match (self, key) {
            (Self::Top, key) => top(key),
            (Self::Contained, "meta") => Self::Meta,
            (Self::Meta, "security") => Self::Label,
            (Self::Concept(element), "coding") => Self::Coding(element),
            (Self::Coding(_) | Self::Label | Self::Identifier(_), "system") => Self::System,
            (Self::Coding(_) | Self::Label, "code") | (Self::Identifier(_), "value") => Self::Code,
            (Self::Reaction(element), "substance") => Self::Concept(element),
            (_, key) => plain(key),
        }
    }

    /// What an object is where a text was due.
    fn opened(self) -> Option<Self> {
        match self {
            Self::TypeName | Self::LogicalId | Self::ContainedType | Self::System | Self::Code => {
                None
            }
            Self::Reference | Self::ReferenceType => Some(Self::Plain),
            other => Some(other),
        }
    }
}

#[derive(Default)]
struct Found<'a> {
    resource_type: Option<ResourceType>,
    id: Option<FhirId>,
    patients: Vec<FhirId>,
    strange_patient: bool,
    labels: Vec<Cow<'a, str>>,
    label_systems: Vec<Cow<'a, str>>,
    contained: Vec<Option<ResourceType>>,
    codes: Vec<Coded<'a>>,
    subjects: Vec<(Element, Target)>,
}

impl<'a> Found<'a> {
    fn finish(self) -> Option<Facts<'a>> {
        Some(Facts {
            resource_type: self.resource_type?,
            id: self.id?,
            patients: self.patients,
            strange_patient: self.strange_patient,
            labels: self.labels,
            contained: self.contained,
            label_systems: self.label_systems,
            codes: self.codes,
            subjects: self.subjects,
        })
    }

    fn note(&mut self, target: &Target) {
        match target {
            Target::Patient(id) if !self.patients.contains(id) => {
                self.patients.push(id.clone());
            }
            Target::StrangePatient => self.strange_patient = true,
            Target::Patient(_) | Target::Other => {}
        }
    }
}

/// The texts of one object that mean something together.
#[derive(Default)]
struct Pending<'a> {
    system: Option<Cow<'a, str>>,
    code: Option<Cow<'a, str>>,
    target: Option<Target>,
    typed_patient: bool,
}

struct Node<'c, 'a, 'b> {
    mode: Mode,
    found: &'c mut Found<'a>,
    pending: &'c mut Pending<'a>,
    base: &'b str,
    depth: u8,
}

impl<'a> Node<'_, 'a, '_> {
    fn text<E: serde::de::Error>(self, text: Cow<'a, str>) -> Result<(), E> {
        let bad = || E::custom(Unreadable);
        match self.mode {
            Mode::TypeName => {
                let kind = ResourceType::parse(&text).map_err(|_| bad())?;
                self.found.resource_type = Some(kind);
            }
            Mode::LogicalId => self.found.id = Some(FhirId::parse(&text).map_err(|_| bad())?),
            Mode::ContainedType => self.found.contained.push(ResourceType::parse(&text).ok()),
            Mode::System => self.pending.system = Some(text),
            Mode::Code => self.pending.code = Some(text),
            Mode::Reference => {
                let target = Target::parse(&text, self.base);
                self.found.note(&target);
                self.pending.target = Some(target);
            }
            Mode::ReferenceType => self.pending.typed_patient = text == "Patient",
            Mode::Concept(element) => self.found.codes.push(Coded {
                element,
                system: Cow::Borrowed(""),
                code: text,
                bare: true,
            }),
            Mode::Plain => {}
            Mode::Top
            | Mode::Meta
            | Mode::Label
            | Mode::Contained
            | Mode::Coding(_)
            | Mode::Identifier(_)
            | Mode::Reaction(_)
            | Mode::Subject(_) => return Err(bad()),
        }
        Ok(())
    }

    /// A number, truth value or null: nothing that is read is one of those.
    fn scalar<E: serde::de::Error>(self) -> Result<(), E> {
        match self.mode {
            Mode::Plain | Mode::Reference | Mode::ReferenceType => Ok(()),
            _ => Err(E::custom(Unreadable)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_, 'de, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, 'de, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a FHIR element")
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.scalar()
    }
    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.scalar()
    }
    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.scalar()
    }
    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.scalar()
    }
    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.scalar()
    }
    fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<(), E> {
        self.text(Cow::Borrowed(text))
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        if self.mode == Mode::Plain { Ok(()) } else { self.text(Cow::Owned(text.into())) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        // Texts in an array where one text was due: references are read all the same.
        let mode = match self.mode {
            Mode::Top => None,
            Mode::Reference | Mode::ReferenceType => Some(self.mode),
            mode => mode.opened(),
        };
        let (Some(mode), true) = (mode, self.depth < MAX_DEPTH) else {
            return Err(A::Error::custom(Unreadable));
        };
        let depth = self.depth.saturating_add(1);
        let base = self.base;
        loop {
            let item =
                Node { mode, found: &mut *self.found, pending: &mut *self.pending, base, depth };
            if items.next_element_seed(item)?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (Some(mode), true) = (self.mode.opened(), self.depth < MAX_DEPTH) else {
            return Err(A::Error::custom(Unreadable));
        };
        let depth = self.depth.saturating_add(1);
        let base = self.base;
        let mut pending = Pending::default();
        let mut keys = Keys::default();
        while let Some(child) = map.next_key_seed(Key { mode, keys: &mut keys })? {
            map.next_value_seed(Node {
                mode: child,
                found: &mut *self.found,
                pending: &mut pending,
                base,
                depth,
            })?;
        }
        let found = self.found;
        if pending.typed_patient && pending.target.is_none() {
            // A logical reference: which patient it is cannot be known.
            found.strange_patient = true;
        }
        let code = || pending.code.unwrap_or_default();
        match mode {
            Mode::Coding(element) | Mode::Identifier(element) => found.codes.push(Coded {
                element,
                system: pending.system.unwrap_or_default(),
                code: code(),
                bare: false,
            }),
            Mode::Label => {
                found.label_systems.push(pending.system.unwrap_or_default());
                found.labels.push(code());
            }
            Mode::Subject(element) => {
                found.subjects.push((element, pending.target.unwrap_or(Target::Other)));
            }
            _ => {}
        }
        Ok(())
    }
}

/// Reads a key as the mode of its value, and refuses a repeated one.
struct Key<'k> {
    mode: Mode,
    keys: &'k mut Keys,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Mode;
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Mode, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Mode;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Mode, E> {
        if self.keys.insert(key) { Ok(self.mode.child(key)) } else { Err(E::custom(Unreadable)) }
    }
}

/// The keys of one object by a 64-bit hash: two that collide are taken for one, which withholds.
#[derive(Default)]
struct Keys {
    few: [u64; 24],
    many: Vec<u64>,
    len: usize,
}

impl Keys {
    fn insert(&mut self, key: &str) -> bool {
        let hash = hash(key);
        if self.len >= MAX_KEYS
            || self.few.iter().take(self.len).any(|known| *known == hash)
            || self.many.contains(&hash)
        {
            return false;
        }
        match self.few.get_mut(self.len) {
            Some(free) => *free = hash,
            None => self.many.push(hash),
        }
        self.len = self.len.saturating_add(1);
        true
    }
}

fn hash(key: &str) -> u64 {
    let mix =
        |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (words, rest) = key.as_bytes().as_chunks::<8>();
    let hash = words.iter().fold(1, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    // The rest is at most seven bytes; a leading one tells lengths apart.
    mix(hash, rest.iter().fold(1, |word, byte| (word << 8) | u64::from(*byte)))
}

#[cfg(test)]
mod tests;
