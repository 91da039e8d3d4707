//! The one door for changes. A change is a transaction: its answer is released after the commit,
//! and a failed one leaves nothing. On SQLite all changes go through one connection, which commits
//! those that wait as a group, each in a savepoint of its own; on PostgreSQL each has a connection.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use sqlx::{AnyConnection, AnyPool};
use tokio::sync::{mpsc, oneshot};

use crate::StoreFault;

/// The most changes in one SQLite commit.
const GROUP: usize = 128;
/// The most changes that wait for the SQLite writer.
const WAITING: usize = 1_024;
/// How long a change may wait for its place in the queue.
const PATIENCE: Duration = Duration::from_secs(5);

/// The work of a change, on a connection inside its transaction.
pub(crate) type Work<'c, T> = Pin<Box<dyn Future<Output = Result<T, StoreFault>> + Send + 'c>>;

/// A change whose answer waits for the group's commit; the flag says whether it failed.
pub(crate) type Job = Box<
    dyn for<'c> FnOnce(&'c mut AnyConnection) -> Pin<Box<dyn Future<Output = Done> + Send + 'c>>
        + Send,
>;

pub(crate) struct Done {
    failed: bool,
    /// Tells the caller, given whether the group was committed.
    release: Box<dyn FnOnce(bool) + Send>,
}

pub(crate) enum Order {
    Change(Job),
    Close(oneshot::Sender<()>),
}

/// The door. Clones lead to the same place.
#[derive(Clone)]
pub(crate) enum Writer {
    /// One connection, group commit.
    Queue(mpsc::Sender<Order>),
    /// A connection for each change.
    Pool {
        pool: AnyPool,
        /// See [`Writer::lock`].
        locks: &'static Locks,
    },
}

/// Statements that lock the grant which a change rests on, for databases with concurrent writers.
pub(crate) struct Locks {
    /// By id: `$1`.
    pub(crate) grant: &'static str,
    /// By code: `$1` hash, `$2` client.
    pub(crate) grant_of_code: &'static str,
    /// By refresh token: `$1` hash, `$2` client.
    pub(crate) grant_of_refresh: &'static str,
}

impl Writer {
    /// A queue before this connection, served by a task of its own.
    pub(crate) fn queue(conn: AnyConnection) -> Self {
        let (orders, inbox) = mpsc::channel(WAITING);
        tokio::spawn(serve(conn, inbox));
        Self::Queue(orders)
    }

    /// The lock statements, where a change needs any: SQLite's one writer needs none.
    pub(crate) const fn locks(&self) -> Option<&'static Locks> {
        match self {
            Self::Queue(_) => None,
            Self::Pool { locks, .. } => Some(locks),
        }
    }

    /// Carries a change out; `Ok` means durable.
    pub(crate) async fn change<T, F>(&self, work: F) -> Result<T, StoreFault>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut AnyConnection) -> Work<'c, T> + Send + 'static,
    {
        match self {
            Self::Queue(orders) => {
                let (answer, answered) = oneshot::channel();
                let job = job(work, answer);
                orders.send_timeout(Order::Change(job), PATIENCE).await.map_err(|_| StoreFault)?;
                answered.await.map_err(|_| StoreFault)?
            }
            Self::Pool { pool, .. } => {
                let mut transaction = pool.begin().await?;
                let value = work(&mut transaction).await?;
                transaction.commit().await?;
                Ok(value)
            }
        }
    }

    /// Finishes what waits and closes the writing connections.
    pub(crate) async fn close(&self) {
        match self {
            Self::Queue(orders) => {
                let (done, closed) = oneshot::channel();
                if orders.send(Order::Close(done)).await.is_ok() {
                    // An error means that the task is gone already.
                    let _ = closed.await;
                }
            }
            Self::Pool { pool, .. } => pool.close().await,
        }
    }
}

fn job<T, F>(work: F, answer: oneshot::Sender<Result<T, StoreFault>>) -> Job
where
    T: Send + 'static,
    F: for<'c> FnOnce(&'c mut AnyConnection) -> Work<'c, T> + Send + 'static,
{
    Box::new(move |conn| {
        Box::pin(async move {
            let result = work(conn).await;
            Done {
                failed: result.is_err(),
                release: Box::new(move |committed| {
                    // A caller that went away needs no answer.
                    let _ = answer.send(if committed { result } else { Err(StoreFault) });
                }),
            }
        })
    })
}

async fn serve(mut conn: AnyConnection, mut inbox: mpsc::Receiver<Order>) {
    let mut orders = Vec::with_capacity(GROUP);
    let mut closing = None;
    while closing.is_none() && inbox.recv_many(&mut orders, GROUP).await > 0 {
        let mut jobs = Vec::with_capacity(orders.len());
        for order in orders.drain(..) {
            match order {
                Order::Change(job) => jobs.push(job),
                Order::Close(done) => closing = Some(done),
            }
        }
        if !jobs.is_empty() {
            commit_group(&mut conn, jobs).await;
        }
    }
    inbox.close();
    if let Err(error) = sqlx::Connection::close(conn).await {
        let _logged = StoreFault::from(error);
    }
    if let Some(done) = closing {
        let _ = done.send(());
    }
}

/// One transaction for all jobs; only after its commit is anybody told.
async fn commit_group(conn: &mut AnyConnection, jobs: Vec<Job>) {
    // Dropping a job unrun answers its caller with a fault.
    if run(conn, "BEGIN IMMEDIATE").await.is_err() {
        let _ = run(conn, "ROLLBACK").await;
        return;
    }
    let mut finished = Vec::with_capacity(jobs.len());
    let mut sound = true;
    for job in jobs {
        if run(conn, "SAVEPOINT change").await.is_err() {
            sound = false;
            break;
        }
        let done = job(conn).await;
        if done.failed {
            sound &= run(conn, "ROLLBACK TO change").await.is_ok();
        }
        sound &= run(conn, "RELEASE change").await.is_ok();
        finished.push(done.release);
        if !sound {
            break;
        }
    }
    let committed = sound && run(conn, "COMMIT").await.is_ok();
    if !committed {
        let _ = run(conn, "ROLLBACK").await;
    }
    for release in finished {
        release(committed);
    }
}

async fn run(conn: &mut AnyConnection, statement: &'static str) -> Result<(), StoreFault> {
    sqlx::query(statement).execute(conn).await?;
    Ok(())
}
