//! Cryptography, and the only room that calls its library: hashing, sealing, custody of keys,
//! opaque credentials, and the tokens of this system as typed kinds that cannot stand in for one
//! another. A signature is checked against keys we hold; nothing in a token says which key or
//! algorithm to trust. Errors say nothing about secrets.

pub mod access_token;
mod algorithm;
pub mod assertion;
pub mod custody;
pub mod ed25519;
mod hash;
pub mod id_token;
mod json;
pub mod jwk;
mod jws;
pub mod key_file;
pub mod opaque;
pub mod pkce;
#[cfg(feature = "pkcs11")]
pub mod pkcs11;
mod random;
pub mod seal;
pub mod sealed_stream;
pub mod signing;

pub use algorithm::Algorithm;
pub use hash::{Sha256Stream, constant_time_eq, hkdf_sha256, hmac_sha256, sha256};
pub use random::{KeyFault, Random, SystemRandom, random_bytes, random_id};
