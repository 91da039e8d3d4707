//! What a record says, under seal: deterministic CBOR (RFC 8949 §4.2) with integer keys from one
//! table. A key keeps its meaning for ever; unknown keys are skipped, so an older reader still reads.
//! Never a PHI body, never a token or a secret; printing one for debugging shows nothing.

use std::fmt;
use std::net::IpAddr;

use domain::{
    ClientId, CorrelationId, FhirId, GrantId, Phi, ResourceType, SessionId, scope::ScopeSet,
};
use minicbor::decode::Error as DecodeError;
use serde_json::Value;

type Decoder<'a> = minicbor::Decoder<'a>;
type Encoder<'a> = minicbor::Encoder<&'a mut Vec<u8>>;
type EncodeError = minicbor::encode::Error<std::convert::Infallible>;

macro_rules! body {
    ($($(#[doc = $doc:literal])* $key:literal $name:ident: $type:ty;)*) => {
        /// The sealed part of a record. Every field may be absent.
        #[derive(Clone, PartialEq, Eq, Default)]
        pub struct Body { $($(#[doc = $doc])* pub $name: $type,)* }

        impl Body {
            /// Keys and names, in order: the one table.
            pub const FIELDS: &'static [(u8, &'static str)] = &[$(($key, stringify!($name)),)*];

            /// Keys, names and what they mean, in order; for the documentation.
            pub const MEANINGS: &'static [(u8, &'static str, &'static str)] =
                &[$(($key, stringify!($name), concat!($($doc),*)),)*];

            pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
                let present = 0_u64 $(+ u64::from(self.$name.is_present()))*;
                let mut encoder = Encoder::new(out);
                encoder.map(present)?;
                $(if self.$name.is_present() {
                    encoder.u8($key)?;
                    self.$name.put(&mut encoder)?;
                })*
                Ok(())
            }

            pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
                let mut decoder = Decoder::new(bytes);
                let mut body = Self::default();
                let fields = decoder.map()?.ok_or(DecodeError::message("indefinite map"))?;
                for _ in 0..fields {
                    match decoder.u16()? {
                        $($key => body.$name = Wire::get(&mut decoder)?,)*
                        _ => decoder.skip()?,
                    }
                }
                Ok(body)
            }

            /// The fields that are present, by name, for people and scripts. This shows PHI.
            pub fn exposed(&self) -> serde_json::Map<String, Value> {
                let mut map = serde_json::Map::new();
                $(if self.$name.is_present() {
                    map.insert(stringify!($name).into(), self.$name.show());
                })*
                map
            }
        }
    };
}

body! {
    /// The person (or client) on whose behalf it happened: the token's `sub`.
    1 subject: Option<String>;
    /// The client.
    2 client: Option<ClientId>;
    /// The sign-in session.
    3 session: Option<SessionId>;
    /// The grant, which is also the refresh family.
    4 grant: Option<GrantId>;
    /// SHA-256 of the token's `jti`.
    5 jti_hash: Option<[u8; 32]>;
    /// How the client or person authenticated.
    6 authentication: Option<String>;
    /// The patient whose record it is.
    7 patient: Option<FhirId>;
    /// The resources, by type and id; a long list continues in further records of the same batch.
    8 resources: Vec<(ResourceType, FhirId)>;
    /// The FHIR interaction, or the endpoint.
    9 interaction: Option<String>;
    /// The canonical query.
    10 query: Option<Phi<String>>;
    /// The purpose of use.
    11 purpose: Option<String>;
    /// The rules or policies that decided, by id.
    12 policies: Vec<String>;
    /// The scopes used or granted.
    13 scopes: Option<ScopeSet>;
    /// The HTTP status of the answer, or of the upstream's.
    14 status: Option<u16>;
    /// Bytes of the released body.
    15 bytes: Option<u64>;
    /// How many resources, entries or things.
    16 count: Option<u32>;
    /// SHA-256 of the released body.
    17 body_sha256: Option<[u8; 32]>;
    /// How many elements or entries were taken out.
    18 redactions: Option<u32>;
    /// The peer's address.
    19 address: Option<IpAddr>;
    /// The user agent, cut at 256 bytes.
    20 user_agent: Option<String>;
    /// Ties the answer to this record.
    21 correlation: Option<CorrelationId>;
    /// The basis of a disclosure.
    22 basis: Option<String>;
    /// A fixed text; never input.
    23 detail: Option<String>;
    /// Which part of a continued record this is: number from 1, and how many there are.
    24 part: Option<(u32, u32)>;
    /// The stream's own papers: a signed note that certifies a day key.
    25 certificate: Option<String>;
    /// The record this one ends or answers, by sequence number (an outcome names its intent).
    26 refers_to: Option<u64>;
    /// A calendar month of the log, as `yyyymm`.
    27 period: Option<u32>;
    /// A segment of the log, by number.
    28 segment: Option<u32>;
    /// The name of a copy in locked storage.
    29 object: Option<String>;
    /// The version of that copy, as the storage named it.
    30 version_id: Option<String>;
    /// The second person, where one alone may not.
    31 approved_by: Option<String>;
    /// A legal hold, by its id.
    32 hold: Option<String>;
    /// The signed note of the stream that this one follows.
    33 predecessor: Option<String>;
    /// The role in which somebody acted.
    34 role: Option<String>;
    /// Until when a locked copy can be neither changed nor deleted (RFC 3339).
    35 retain_until: Option<String>;
    /// The opening of the log that this record begins, by its random name; then the one before it as
    /// the keys' directory has it.
    36 instance: Option<String>;
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[phi]")
    }
}

/// A field on the wire.
trait Wire: Sized {
    fn is_present(&self) -> bool;
    fn put(&self, to: &mut Encoder<'_>) -> Result<(), EncodeError>;
    fn get(from: &mut Decoder<'_>) -> Result<Self, DecodeError>;
    fn show(&self) -> Value;
}

/// A value that a field may hold.
trait Item: Sized {
    fn put(&self, to: &mut Encoder<'_>) -> Result<(), EncodeError>;
    fn get(from: &mut Decoder<'_>) -> Result<Self, DecodeError>;
    fn show(&self) -> Value;
}

impl<T: Item> Wire for Option<T> {
    fn is_present(&self) -> bool {
        self.is_some()
    }
    fn put(&self, to: &mut Encoder<'_>) -> Result<(), EncodeError> {
        self.as_ref().map_or(Ok(()), |item| item.put(to))
    }
    fn get(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        T::get(from).map(Some)
    }
    fn show(&self) -> Value {
        self.as_ref().map_or(Value::Null, Item::show)
    }
}

impl<T: Item> Wire for Vec<T> {
    fn is_present(&self) -> bool {
        !self.is_empty()
    }
    fn put(&self, to: &mut Encoder<'_>) -> Result<(), EncodeError> {
        to.array(u64::try_from(self.len()).unwrap_or(u64::MAX))?;
        self.iter().try_for_each(|item| item.put(to))
    }
    fn get(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let count = from.array()?.ok_or(DecodeError::message("indefinite array"))?;
        (0..count).map(|_| T::get(from)).collect()
    }
    fn show(&self) -> Value {
        self.iter().map(Item::show).collect()
    }
}

macro_rules! text_items {
    ($($type:ty, $read:expr, $text:expr;)*) => {$(
        impl Item for $type {
            fn put(&self, to: &mut Encoder<'_>) -> Result<(), EncodeError> {
                let text: fn(&$type) -> String = $text;
                to.str(&text(self))?;
                Ok(())
            }
            fn get(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
                let read: fn(&str) -> Option<$type> = $read;
                read(from.str()?).ok_or(DecodeError::message("not a value of this field"))
            }
            fn show(&self) -> Value {
                let text: fn(&$type) -> String = $text;
                text(self).into()
            }
        }
    )*};
}

text_items! {
    String, |t| Some(t.to_owned()), Clone::clone;
    Phi<String>, |t| Some(Self::new(t.to_owned())), |t| t.expose().clone();
    ClientId, |t| Self::parse(t).ok(), |t| t.as_str().to_owned();
    SessionId, |t| Self::parse(t).ok(), |t| t.as_str().to_owned();
    GrantId, |t| Self::parse(t).ok(), |t| t.as_str().to_owned();
    FhirId, |t| Self::parse(t).ok(), |t| t.as_str().to_owned();
    CorrelationId, |t| Self::parse(t).ok(), |t| t.as_str().to_owned();
    ScopeSet, |t| Self::parse(t).ok(), ToString::to_string;
    IpAddr, |t| t.parse().ok(), ToString::to_string;
}

macro_rules! number_items {
    ($($type:ident),*) => {$(
        impl Item for $type {
            fn put(&self, to: &mut Encoder<'_>) -> Result<(), EncodeError> {
                to.$type(*self)?;
                Ok(())
            }
            fn get(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
                from.$type()
            }
            fn show(&self) -> Value {
                (*self).into()
            }
        }
    )*};
}

number_items!(u16, u32, u64);

impl Item for [u8; 32] {
    fn put(&self, to: &mut Encoder<'_>) -> Result<(), EncodeError> {
        to.bytes(self)?;
        Ok(())
    }
    fn get(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        from.bytes()?.try_into().map_err(|_| DecodeError::message("not 32 bytes"))
    }
    fn show(&self) -> Value {
        self.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
    }
}

impl Item for (u32, u32) {
    fn put(&self, to: &mut Encoder<'_>) -> Result<(), EncodeError> {
        to.array(2)?.u32(self.0)?.u32(self.1)?;
        Ok(())
    }
    fn get(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        pair(from)?;
        Ok((from.u32()?, from.u32()?))
    }
    fn show(&self) -> Value {
        Value::from(vec![self.0, self.1])
    }
}

impl Item for (ResourceType, FhirId) {
    fn put(&self, to: &mut Encoder<'_>) -> Result<(), EncodeError> {
        to.array(2)?.str(self.0.name())?.str(self.1.as_str())?;
        Ok(())
    }
    fn get(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        pair(from)?;
        let kind = ResourceType::parse(from.str()?)
            .map_err(|_| DecodeError::message("not a resource type"))?;
        Ok((kind, FhirId::get(from)?))
    }
    fn show(&self) -> Value {
        format!("{}/{}", self.0, self.1).into()
    }
}

fn pair(from: &mut Decoder<'_>) -> Result<(), DecodeError> {
    if from.array()? == Some(2) { Ok(()) } else { Err(DecodeError::message("not a pair")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Body {
        Body {
            subject: Some("p_amina".into()),
            client: ClientId::parse("demo-web").ok(),
            session: SessionId::parse("s1").ok(),
            grant: GrantId::parse("g1").ok(),
            jti_hash: Some([5; 32]),
            authentication: Some("private_key_jwt".into()),
            patient: FhirId::parse("pat-1").ok(),
            resources: vec![(ResourceType::Observation, FhirId::parse("o1").unwrap())],
            interaction: Some("search-type".into()),
            query: Some(Phi::new("code=1234-5".into())),
            purpose: Some("TREAT".into()),
            policies: vec!["compartment".into()],
            scopes: ScopeSet::parse("patient/Observation.rs").ok(),
            status: Some(200),
            bytes: Some(u64::MAX),
            count: Some(25),
            body_sha256: Some([7; 32]),
            redactions: Some(0),
            address: "2001:db8::1".parse().ok(),
            user_agent: Some("curl".into()),
            correlation: CorrelationId::parse("c-1").ok(),
            basis: Some("treatment".into()),
            detail: Some("fixed".into()),
            part: Some((1, 2)),
            certificate: Some("note\n".into()),
            refers_to: Some(3),
            period: Some(202_611),
            segment: Some(4),
            object: Some("segment-4".into()),
            version_id: Some("v1".into()),
            approved_by: Some("p_ben".into()),
            hold: Some("h_1".into()),
            predecessor: Some("note\n".into()),
            role: Some("privacy_officer".into()),
            retain_until: Some("2032-11-08T00:00:00Z".into()),
            instance: Some("00".into()),
        }
    }

    #[test]
    fn every_field_reads_back_and_absent_ones_take_no_room() {
        let mut bytes = Vec::new();
        full().encode(&mut bytes).unwrap();
        assert!(Body::decode(&bytes).unwrap() == full());
        assert_eq!(full().exposed().len(), Body::FIELDS.len());
        let mut empty = Vec::new();
        Body::default().encode(&mut empty).unwrap();
        assert_eq!(empty, [0xa0]);
    }

    #[test]
    fn keys_ascend_so_that_the_encoding_is_deterministic() {
        assert!(Body::FIELDS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(Body::FIELDS.iter().all(|(key, _)| *key < 128));
    }

    #[test]
    fn an_unknown_key_is_skipped_and_a_broken_body_is_refused() {
        // {1: "a", 99: [1, 2]}
        let bytes = [0xa2, 0x01, 0x61, b'a', 0x18, 99, 0x82, 1, 2];
        assert_eq!(Body::decode(&bytes).unwrap().subject.as_deref(), Some("a"));
        assert!(Body::decode(&bytes[..3]).is_err());
        assert!(Body::decode(&[0xa1, 0x02, 0x61, b'/']).is_err());
    }

    #[test]
    fn debug_output_shows_nothing() {
        assert_eq!(format!("{:?}", full()), "[phi]");
    }
}
