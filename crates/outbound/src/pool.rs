//! Idle connections to one origin, the last used first. A connection that has been idle for too long
//! or was closed by its peer is never handed out.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use tokio::time::Instant;

/// Below the keep-alive time of the usual servers, so that they seldom close first.
const MAX_IDLE: Duration = Duration::from_secs(4);

/// An open connection.
pub(crate) type Connection = SendRequest<Full<Bytes>>;

/// Idle connections, none of them used by two requests at once.
pub(crate) struct Pool {
    idle: Mutex<Vec<(Connection, Instant)>>,
    capacity: usize,
}

impl Pool {
    /// Keeps up to `capacity` idle connections.
    pub(crate) const fn new(capacity: usize) -> Self {
        Self { idle: Mutex::new(Vec::new()), capacity }
    }

    /// An idle connection that is ready for a request, if there is one.
    pub(crate) async fn take(&self) -> Option<Connection> {
        loop {
            let (mut connection, since) = self.pop()?;
            if since.elapsed() < MAX_IDLE && connection.ready().await.is_ok() {
                return Some(connection);
            }
        }
    }

    /// Gives a connection back whose last answer was read to its end.
    pub(crate) fn put(&self, connection: Connection) {
        if connection.is_closed() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.capacity {
            idle.push((connection, Instant::now()));
        }
    }

    fn pop(&self) -> Option<(Connection, Instant)> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}
