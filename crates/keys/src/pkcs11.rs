//! Custody in a hardware module, through its PKCS #11 v2.40 library. The key-encryption key is made
//! in the token, sensitive and not extractable, and never leaves it: wrapping is AES-256-GCM inside,
//! with the purpose as associated data. Keys of one label are told apart by `CKA_ID`; the greatest
//! wraps, each opens what it wrapped. A PIN that was refused is never tried again: tokens lock.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use domain::Secret;
use zeroize::Zeroize;

use crate::custody::{Custody, aad};
use crate::seal::{NONCE_LEN, TAG_LEN};
use crate::{KeyFault, Random};

/// Where the key is.
#[derive(Clone, Debug)]
pub struct TokenKey {
    /// The module's library.
    pub module: PathBuf,
    /// The token, by its label.
    pub token: String,
    /// The key, by its label.
    pub label: String,
}

/// A token's key cannot be used. Names what was looked for, never the PIN.
#[derive(Debug, thiserror::Error)]
pub enum Pkcs11Error {
    /// The library is missing or none.
    #[error("PKCS #11 module {path} cannot be loaded; is it installed, and for this system?", path = .0.display())]
    Module(PathBuf),
    /// The module lists no token of this label.
    #[error("PKCS #11 module {path} has no token with the label `{token}`", path = module.display())]
    Token {
        /// The library.
        module: PathBuf,
        /// The label looked for.
        token: String,
    },
    /// The token refused the PIN. It was tried once and will not be tried again.
    #[error("token `{0}` refuses the PIN; it was tried once only, so that the token does not lock")]
    Pin(String),
    /// The token is locked.
    #[error("token `{0}` is locked after wrong PINs; its security officer must unlock it")]
    Locked(String),
    /// There is no key of this label.
    #[error(
        "token `{token}` has no AES key with the label `{label}`; make it with: phiward key init"
    )]
    Key {
        /// The token.
        token: String,
        /// The label looked for.
        label: String,
    },
    /// There is one already.
    #[error("token `{token}` has a key with the label `{label}` already; it is left alone")]
    Exists {
        /// The token.
        token: String,
        /// The label.
        label: String,
    },
    /// It can be taken out of the token, or is no AES-256 key.
    #[error("key `{0}` in the token must be an AES-256 key, sensitive and not extractable")]
    Unfit(String),
    /// Anything else that the module says.
    #[error("token `{token}`: {what}")]
    Other {
        /// The token.
        token: String,
        /// The return value's name.
        what: String,
    },
}

/// The format of what a token wrapped: this, the key id's length, the id, nonce, ciphertext, tag.
const FORMAT: u8 = 2;
const MAX_ID: usize = 64;

/// An open session and the keys of the label, the newest last.
struct Live {
    session: Session,
    keys: Vec<(Vec<u8>, ObjectHandle)>,
}

enum State {
    Live(Live),
    /// Gone; the next call opens it again.
    Lost,
    /// The PIN was refused.
    Refused,
}

/// The key-encryption key in a token.
pub struct Pkcs11Custody {
    context: Pkcs11,
    key: TokenKey,
    pin: AuthPin,
    random: Arc<dyn Random>,
    state: Mutex<State>,
}

impl Pkcs11Custody {
    /// Opens the token and finds the key.
    ///
    /// # Errors
    /// [`Pkcs11Error`] names what is missing.
    pub fn open(
        key: TokenKey,
        pin: &Secret<String>,
        random: Arc<dyn Random>,
    ) -> Result<Self, Pkcs11Error> {
        let custody = Self::connect(key, pin, random)?;
        let live = custody.live()?;
        if live.keys.is_empty() {
            let TokenKey { token, label, .. } = custody.key;
            return Err(Pkcs11Error::Key { token, label });
        }
        *custody.state.lock().unwrap_or_else(PoisonError::into_inner) = State::Live(live);
        Ok(custody)
    }

    /// Makes the key in the token, where there is none of its label yet.
    ///
    /// # Errors
    /// [`Pkcs11Error::Exists`], or what is missing.
    pub fn create(
        key: TokenKey,
        pin: &Secret<String>,
        random: Arc<dyn Random>,
    ) -> Result<Self, Pkcs11Error> {
        let custody = Self::connect(key, pin, random)?;
        let mut live = custody.live()?;
        if !live.keys.is_empty() {
            let TokenKey { token, label, .. } = custody.key;
            return Err(Pkcs11Error::Exists { token, label });
        }
        custody.generate(&mut live, vec![1])?;
        *custody.state.lock().unwrap_or_else(PoisonError::into_inner) = State::Live(live);
        Ok(custody)
    }

    /// Makes a newer key under the same label, which wraps from now on; the older still open.
    ///
    /// # Errors
    /// [`Pkcs11Error`].
    pub fn add_newer(&self) -> Result<(), Pkcs11Error> {
        let mut live = self.live()?;
        let newest = live.keys.last().map(|(id, _)| id.clone()).unwrap_or_default();
        self.generate(&mut live, successor(newest))?;
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::Live(live);
        Ok(())
    }

    /// How many keys have the label.
    ///
    /// # Errors
    /// [`Pkcs11Error`].
    pub fn count(&self) -> Result<usize, Pkcs11Error> {
        Ok(self.live()?.keys.len())
    }

    fn connect(
        key: TokenKey,
        pin: &Secret<String>,
        random: Arc<dyn Random>,
    ) -> Result<Self, Pkcs11Error> {
        let missing = |_| Pkcs11Error::Module(key.module.clone());
        let context = Pkcs11::new(&key.module).map_err(missing)?;
        let pin = AuthPin::from(pin.expose().clone());
        Ok(Self { context, key, pin, random, state: Mutex::new(State::Lost) })
    }

    fn slot(&self) -> Result<Slot, Pkcs11Error> {
        let slots = self.context.get_slots_with_token();
        let slots = slots.map_err(|error| other(&self.key.token, &error))?;
        let named = |slot: &Slot| {
            let info = self.context.get_token_info(*slot);
            info.is_ok_and(|info| info.label().trim_end() == self.key.token)
        };
        slots.into_iter().find(named).ok_or_else(|| Pkcs11Error::Token {
            module: self.key.module.clone(),
            token: self.key.token.clone(),
        })
    }

    /// A session, signed in, and the keys. The caller answers for not trying a refused PIN again.
    fn live(&self) -> Result<Live, Pkcs11Error> {
        let failed = |error: Error| other(&self.key.token, &error);
        match self.context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // Another handle of this process was first.
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(failed(error)),
        }
        let session = self.context.open_rw_session(self.slot()?).map_err(failed)?;
        match session.login(UserType::User, Some(&self.pin)) {
            // Signing in is the application's, not the session's (PKCS #11 v2.40 §2.6.4).
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(Error::Pkcs11(RvError::PinLocked, _)) => {
                return Err(Pkcs11Error::Locked(self.key.token.clone()));
            }
            Err(Error::Pkcs11(
                RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange,
                _,
            )) => return Err(Pkcs11Error::Pin(self.key.token.clone())),
            Err(error) => return Err(failed(error)),
        }
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Label(self.key.label.clone().into_bytes()),
        ];
        let mut keys = Vec::new();
        for handle in session.find_objects(&template).map_err(failed)? {
            keys.push((self.judge(&session, handle)?, handle));
        }
        keys.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
        if keys.windows(2).any(|two| matches!(two, [(a, _), (b, _)] if a == b)) {
            let what = format!("two keys with the label `{}` have one CKA_ID", self.key.label);
            return Err(Pkcs11Error::Other { token: self.key.token.clone(), what });
        }
        Ok(Live { session, keys })
    }

    /// The key's id, if the key is one that stays in the token.
    fn judge(&self, session: &Session, handle: ObjectHandle) -> Result<Vec<u8>, Pkcs11Error> {
        let asked = [
            AttributeType::Id,
            AttributeType::Sensitive,
            AttributeType::Extractable,
            AttributeType::ValueLen,
        ];
        let found = session.get_attributes(handle, &asked);
        let found = found.map_err(|error| other(&self.key.token, &error))?;
        let mut id = Vec::new();
        let (mut sensitive, mut extractable, mut fits) = (false, true, false);
        for attribute in found {
            match attribute {
                Attribute::Id(bytes) => id = bytes,
                Attribute::Sensitive(is) => sensitive = is,
                Attribute::Extractable(is) => extractable = is,
                Attribute::ValueLen(len) => fits = *len == 32,
                _ => {}
            }
        }
        if sensitive && !extractable && fits && id.len() <= MAX_ID {
            Ok(id)
        } else {
            Err(Pkcs11Error::Unfit(self.key.label.clone()))
        }
    }

    fn generate(&self, live: &mut Live, id: Vec<u8>) -> Result<(), Pkcs11Error> {
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::ValueLen(32.into()),
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
            Attribute::Label(self.key.label.clone().into_bytes()),
            Attribute::Id(id.clone()),
        ];
        let made = live.session.generate_key(&Mechanism::AesKeyGen, &template);
        let handle = made.map_err(|error| other(&self.key.token, &error))?;
        live.keys.push((id, handle));
        Ok(())
    }

    /// Runs an operation; a session that the token dropped is opened once more.
    fn with<T>(&self, run: impl Fn(&Live) -> Result<T, Error>) -> Result<T, KeyFault> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Live(live) = &*state {
            match run(live) {
                Ok(value) => return Ok(value),
                Err(error) if is_lost(&error) => *state = State::Lost,
                Err(_) => return Err(KeyFault),
            }
        }
        if matches!(*state, State::Refused) {
            return Err(KeyFault);
        }
        match self.live() {
            Ok(live) => {
                let result = run(&live).map_err(|_| KeyFault);
                *state = State::Live(live);
                result
            }
            Err(Pkcs11Error::Pin(_) | Pkcs11Error::Locked(_)) => {
                *state = State::Refused;
                Err(KeyFault)
            }
            Err(_) => Err(KeyFault),
        }
    }
}

impl Custody for Pkcs11Custody {
    fn wrap(&self, purpose: &str, key: &[u8]) -> Result<Vec<u8>, KeyFault> {
        let mut drawn = [0; NONCE_LEN];
        self.random.fill(&mut drawn)?;
        let aad = aad(purpose);
        let (id, nonce, sealed) = self.with(|live| {
            let (id, handle) = live.keys.last().ok_or(Error::InvalidValue)?;
            // A module may put a nonce of its own in the place of ours.
            let mut nonce = drawn;
            let sealed = {
                let params = GcmParams::new(&mut nonce, &aad, tag_bits())?;
                live.session.encrypt(&Mechanism::AesGcm(params), *handle, key)?
            };
            Ok((id.clone(), nonce, sealed))
        })?;
        if sealed.len() != key.len() + TAG_LEN {
            return Err(KeyFault);
        }
        let id_len = u8::try_from(id.len()).map_err(|_| KeyFault)?;
        Ok([&[FORMAT, id_len], id.as_slice(), &nonce, &sealed].concat())
    }

    fn unwrap(&self, purpose: &str, wrapped: &[u8]) -> Result<Secret<Vec<u8>>, KeyFault> {
        let (id, nonce, sealed) = parts(wrapped).ok_or(KeyFault)?;
        let aad = aad(purpose);
        let mut key = self.with(|live| {
            let found = live.keys.iter().find(|(own, _)| own == id);
            let (_, handle) = found.ok_or(Error::InvalidValue)?;
            let mut nonce = nonce;
            let params = GcmParams::new(&mut nonce, &aad, tag_bits())?;
            live.session.decrypt(&Mechanism::AesGcm(params), *handle, sealed)
        })?;
        if key.len() + TAG_LEN != sealed.len() {
            key.zeroize();
            return Err(KeyFault);
        }
        Ok(Secret::new(key))
    }

    fn is_newest(&self, purpose: &str, wrapped: &[u8]) -> bool {
        let newest = self.with(|live| Ok(live.keys.last().map(|(id, _)| id.clone())));
        let own = parts(wrapped).map(|(id, ..)| id);
        own.is_some_and(|own| newest.is_ok_and(|newest| newest.as_deref() == Some(own)))
            && self.unwrap(purpose, wrapped).is_ok()
    }
}

fn tag_bits() -> cryptoki::types::Ulong {
    128.into()
}

type Parts<'a> = (&'a [u8], [u8; NONCE_LEN], &'a [u8]);

fn parts(wrapped: &[u8]) -> Option<Parts<'_>> {
    let (len, rest) = wrapped.strip_prefix(&[FORMAT])?.split_first()?;
    let len = Some(usize::from(*len)).filter(|len| *len <= MAX_ID)?;
    let (id, rest) = rest.split_at_checked(len)?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
    (sealed.len() >= TAG_LEN).then_some((id, *nonce, sealed))
}

/// The id that follows, as a big-endian number.
fn successor(mut id: Vec<u8>) -> Vec<u8> {
    for byte in id.iter_mut().rev() {
        let (next, over) = byte.overflowing_add(1);
        *byte = next;
        if !over {
            return id;
        }
    }
    id.insert(0, 1);
    id
}

/// Whether the session or the token went away, so that a new session may do better.
fn is_lost(error: &Error) -> bool {
    matches!(
        error,
        Error::Pkcs11(
            RvError::SessionHandleInvalid
                | RvError::SessionClosed
                | RvError::DeviceRemoved
                | RvError::DeviceError
                | RvError::TokenNotPresent
                | RvError::UserNotLoggedIn
                | RvError::KeyHandleInvalid
                | RvError::ObjectHandleInvalid
                | RvError::CryptokiNotInitialized,
            _
        )
    )
}

fn other(token: &str, error: &Error) -> Pkcs11Error {
    let what = match error {
        Error::Pkcs11(value, function) => format!("{function} answered {value:?}"),
        _ => "the module does not do what PKCS #11 asks of it".to_owned(),
    };
    Pkcs11Error::Other { token: token.to_owned(), what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_count_up_and_what_is_too_short_is_no_wrapped_key() {
        assert_eq!(successor(vec![]), [1]);
        assert_eq!(successor(vec![1]), [2]);
        assert_eq!(successor(vec![1, 255]), [2, 0]);
        assert_eq!(successor(vec![255]), [1, 0]);
        let whole = [&[FORMAT, 2, 9, 9][..], &[0; NONCE_LEN + TAG_LEN]].concat();
        assert!(parts(&whole).is_some());
        for len in 0..whole.len() {
            assert!(parts(&whole[..len]).is_none(), "{len}");
        }
        assert!(parts(&[&[FORMAT, 255][..], &[0; 400]].concat()).is_none());
    }
}
