//! PostgreSQL: read committed and conditional statements; where a change rests on a grant, the
//! grant's row is locked first, so that a withdrawal and a redemption have an order. The leg to
//! another machine is TLS with the server's name verified.

use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, ConnectOptions as _, Connection as _, Executor as _};

use super::Opened;
use crate::OpenError;
use crate::fault::kind;
use crate::schema::{self, Words};
use crate::writer::{Locks, Writer};

/// Connections of one node.
const CONNECTIONS: u32 = 16;

/// Where Debian's server listens; used when the URL names no host.
const SOCKETS: &str = "/var/run/postgresql";

const WORDS: Words = Words {
    bytes: "BYTEA",
    int: "BIGINT",
    strict: "",
    draft_purpose: "CAST(draft AS jsonb) ->> 'purpose'",
};

/// `NO KEY` leaves foreign key checks of other changes alone.
static LOCKS: Locks = Locks {
    grant: "SELECT id FROM grants WHERE id = $1 FOR NO KEY UPDATE",
    grant_of_code: "SELECT g.id FROM grants g JOIN codes c ON c.grant_id = g.id \
        WHERE c.hash = $1 AND c.client = $2 FOR NO KEY UPDATE OF g",
    grant_of_refresh: "SELECT g.id FROM grants g JOIN refresh_tokens r ON r.grant_id = g.id \
        WHERE r.hash = $1 AND r.client = $2 FOR NO KEY UPDATE OF g",
};

/// A server's defaults may be laxer: what durability and the transactions rest on is set here.
const SETTINGS: &str = "SET synchronous_commit = on; \
    SET default_transaction_isolation = 'read committed'; SET statement_timeout = '10s'; \
    SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '30s'";

pub(crate) async fn open(url: &str) -> Result<Opened, OpenError> {
    let mut options: AnyConnectOptions = url.parse().map_err(|_| OpenError::Url)?;
    if hosts(&options).is_empty() {
        options.database_url.query_pairs_mut().append_pair("host", SOCKETS);
    }
    if !is_private(&options) {
        return Err(OpenError::Plaintext);
    }
    let options = options.disable_statement_logging();
    let failed = |error: sqlx::Error| OpenError::Unusable(kind(&error));
    let mut conn: AnyConnection = options.connect().await.map_err(failed)?;
    let migrated = schema::migrate(&mut conn, &WORDS).await;
    // Closing also gives back the migration lock after an error.
    conn.close().await.map_err(failed)?;
    migrated?;
    let pool = AnyPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(Duration::from_secs(5))
        .after_connect(|conn, _| Box::pin(async move { conn.execute(SETTINGS).await.map(|_| ()) }))
        .connect_with(options)
        .await
        .map_err(failed)?;
    Ok(Opened { readers: pool.clone(), writer: Writer::Pool { pool, locks: &LOCKS } })
}

/// Where the leg leads: only what the URL says counts, never `PGHOST` or its like.
fn hosts(options: &AnyConnectOptions) -> Vec<String> {
    let url = &options.database_url;
    let named = url.host_str().filter(|host| !host.is_empty()).map(str::to_owned);
    let asked = url.query_pairs().filter(|(name, _)| matches!(&**name, "host" | "hostaddr"));
    named.into_iter().chain(asked.map(|(_, value)| value.into_owned())).collect()
}

/// Whether nobody on a network could listen: a Unix socket, a loopback address, or verified TLS.
fn is_private(options: &AnyConnectOptions) -> bool {
    let local = |host: &String| {
        host.starts_with('/')
            || host.to_ascii_lowercase().starts_with("%2f")
            || ["localhost", "127.0.0.1", "::1", "[::1]"].contains(&host.as_str())
    };
    // The last one counts, as it does for the driver.
    let pairs = options.database_url.query_pairs();
    let mode = pairs.filter(|(name, _)| matches!(&**name, "sslmode" | "ssl-mode")).last();
    mode.is_some_and(|(_, value)| value == "verify-full") || hosts(options).iter().all(local)
}
