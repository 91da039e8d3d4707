//! Records name people by their subject; people know usernames. Both name the same person here.

use std::sync::Arc;

use domain::Username;
use keys::SystemRandom;
use store::Store;

use crate::config::Config;
use crate::failure::Failure;
use crate::keyring::Keyring;

/// The subject of a username; anything else, like a backend service's id, is itself.
pub(super) async fn subject(
    name: &str,
    config: &Config,
    keyring: &Keyring,
) -> Result<String, Failure> {
    let Ok(username) = Username::parse(name) else { return Ok(name.to_owned()) };
    if name.starts_with("p_") {
        return Ok(name.to_owned());
    }
    let store = Store::open(&config.database, keyring.store_key()?, Arc::new(SystemRandom))
        .await
        .map_err(|error| Failure::usage(error.to_string()))?;
    let person = store.person_by_username(&username).await;
    store.close().await;
    let person = person.map_err(|error| Failure::usage(error.to_string()))?;
    Ok(person.map_or_else(|| name.to_owned(), |(person, _)| person.id.to_string()))
}
