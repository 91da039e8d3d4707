//! Sessions: after each sign-in a fresh secret in the browser and its keyed hash in the store, with
//! an absolute end. A session lives only while its person may sign in.

use domain::{Person, SessionId, Timestamp};
use keys::opaque::{Opaque, OpaqueKind};
use store::NewSession;

use crate::{Fault, Identity};

/// The longest that a session lasts: eight hours, a working day.
pub const SESSION_SECS: i64 = 8 * 3_600;

/// A signed-in person and their session.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The session's public name.
    pub session: SessionId,
    /// When the person proved who they are (`auth_time`).
    pub auth_time: Timestamp,
    /// Who it is; active at the time of asking.
    pub person: Person,
}

impl Identity {
    /// Opens a session: the secret goes to the browser, once.
    pub(crate) async fn open_session(
        &self,
        person: Person,
        now: Timestamp,
    ) -> Result<(Opaque, SignedIn), Fault> {
        let secret = Opaque::generate(OpaqueKind::Session, &*self.random)?;
        let id = keys::random_id("s_", &*self.random)?;
        let session = SessionId::parse(&id).map_err(|_| Fault::Keys)?;
        self.store
            .insert_session(&NewSession {
                hash: self.hash_key.hash(&secret),
                id: session.clone(),
                person: person.id.clone(),
                auth_time: now,
                expires: now.plus_secs(SESSION_SECS),
            })
            .await?;
        Ok((secret, SignedIn { session, auth_time: now, person }))
    }

    /// Who holds this session secret, if it is live and its person active.
    ///
    /// # Errors
    /// [`Fault::Store`] if the database does not answer.
    pub async fn session(&self, secret: &str, now: Timestamp) -> Result<Option<SignedIn>, Fault> {
        let Some(secret) = Opaque::parse(OpaqueKind::Session, secret) else { return Ok(None) };
        let Some(session) = self.store.session(&self.hash_key.hash(&secret), now).await? else {
            return Ok(None);
        };
        let person = self.store.person(&session.person).await?;
        // A password set after the sign-in ends it: a stolen session does not survive a reset.
        let active = person.filter(|person| {
            person.disabled.is_none()
                && person.password_set.is_none_or(|set| set <= session.auth_time)
        });
        Ok(active.map(|person| SignedIn {
            session: session.id,
            auth_time: session.auth_time,
            person,
        }))
    }

    /// Ends the session of this secret; silently if there is none.
    ///
    /// # Errors
    /// [`Fault::Store`] if the database does not answer.
    pub async fn end_session(&self, secret: &str) -> Result<(), Fault> {
        if let Some(secret) = Opaque::parse(OpaqueKind::Session, secret) {
            self.store.end_session(&self.hash_key.hash(&secret)).await?;
        }
        Ok(())
    }
}
