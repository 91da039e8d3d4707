//! The commit queue under a model checker: the very code of the writer (`src/queue.rs`), run through
//! every order in which its threads can meet (up to a bound of forced switches).
//!
//! Nobody is told yes before the commit that holds his records has returned, everybody is answered
//! exactly once, after a failure nobody is told yes, and the end leaves nobody waiting.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "tests"
)]

#[path = "../src/write/queue.rs"]
mod queue;

/// What the queue is built of here.
mod sync {
    pub(crate) use std::sync::PoisonError;

    pub(crate) use loom::sync::{Arc, Condvar, Mutex};
}

use std::time::Duration;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use queue::{Ask, Desk, Found, Message, Sender, queue};

/// Where one asker waits for his answer.
#[derive(Default)]
struct Slot {
    answers: Mutex<Vec<bool>>,
    arrived: Condvar,
}

impl Slot {
    fn put(&self, yes: bool) {
        self.answers.lock().unwrap().push(yes);
        self.arrived.notify_all();
    }

    fn wait(&self) -> bool {
        let mut answers = self.answers.lock().unwrap();
        while answers.is_empty() {
            answers = self.arrived.wait(answers).unwrap();
        }
        answers[0]
    }
}

/// Room for so many asks at a time, as the ledger's handles keep it.
struct Room {
    free: Mutex<usize>,
    freed: Condvar,
}

struct Permit(Arc<Room>);

impl Room {
    fn take(room: &Arc<Self>) -> Permit {
        let mut free = room.free.lock().unwrap();
        while *free == 0 {
            free = room.freed.wait(free).unwrap();
        }
        *free -= 1;
        drop(free);
        Permit(Arc::clone(room))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap() += 1;
        self.0.freed.notify_one();
    }
}

/// The disk of the model: what was written, what is durable, and at which commit it fails.
struct Disk {
    durable: [AtomicUsize; 4],
    commits: AtomicUsize,
    fails_at: usize,
    failed: AtomicUsize,
}

struct Append {
    id: usize,
    slot: Arc<Slot>,
    disk: Arc<Disk>,
    permit: Permit,
}

impl Ask for Append {
    type Answer = usize;

    fn weight(&self) -> (usize, usize) {
        (1, 1)
    }

    fn answer(self, answer: Option<usize>) {
        drop(self.permit);
        if let Some(id) = answer {
            assert_eq!(id, self.id, "an answer meant for another");
            assert_eq!(self.disk.durable[id].load(Ordering::SeqCst), 1, "a yes before the sync");
            assert_eq!(self.disk.failed.load(Ordering::SeqCst), 0, "a yes after a failure");
        }
        self.slot.put(answer.is_some());
    }
}

enum Request {
    Append(Append),
    Close,
}

impl Message for Request {
    type Ask = Append;

    fn into_ask(self) -> Result<Append, Self> {
        match self {
            Self::Append(append) => Ok(append),
            Self::Close => Err(Self::Close),
        }
    }
}

/// The writer's loop over the desk, with a disk of counters.
fn write(mut desk: Desk<Request>, disk: &Disk) {
    loop {
        let other = match desk.gather(Duration::MAX, (2, 2)) {
            Found::Abandoned => return,
            Found::Nothing => None,
            Found::Other(other) => Some(other),
            Found::Asks(other) => {
                let _ = desk.settle(|asks| {
                    let number = disk.commits.fetch_add(1, Ordering::SeqCst);
                    if number == disk.fails_at {
                        disk.failed.store(1, Ordering::SeqCst);
                        return Err(());
                    }
                    for ask in asks {
                        let before = disk.durable[ask.id].fetch_add(1, Ordering::SeqCst);
                        assert_eq!(before, 0, "committed twice");
                    }
                    Ok(asks.iter().map(|ask| ask.id).collect())
                });
                other
            }
        };
        if matches!(other, Some(Request::Close)) {
            return;
        }
    }
}

/// Sends, waits, and says what the answer was: none if the queue was closed already.
fn ask(id: usize, requests: &Sender<Request>, room: &Arc<Room>, disk: &Arc<Disk>) -> Option<bool> {
    let slot = Arc::new(Slot::default());
    let permit = Room::take(room);
    let append = Append { id, slot: Arc::clone(&slot), disk: Arc::clone(disk), permit };
    let sent = requests.send(Request::Append(append));
    // The message comes back with its permit, and nobody else will answer.
    if let Err(back) = sent {
        drop(back);
        assert!(slot.answers.lock().unwrap().is_empty());
        return None;
    }
    let answer = slot.wait();
    assert_eq!(slot.answers.lock().unwrap().len(), 1, "answered once");
    Some(answer)
}

fn model(switches: usize, test: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(switches);
    builder.check(test);
}

fn world(fails_at: usize, places: usize) -> (Sender<Request>, Desk<Request>, Arc<Room>, Arc<Disk>) {
    let (requests, desk) = queue();
    let room = Arc::new(Room { free: Mutex::new(places), freed: Condvar::new() });
    let disk = Arc::new(Disk {
        durable: std::array::from_fn(|_| AtomicUsize::new(0)),
        commits: AtomicUsize::new(0),
        fails_at,
        failed: AtomicUsize::new(0),
    });
    (requests, desk, room, disk)
}

#[test]
fn everybody_is_answered_once_and_yes_means_synced() {
    model(2, || {
        let (requests, desk, room, disk) = world(usize::MAX, 1);
        let writer = {
            let disk = Arc::clone(&disk);
            thread::spawn(move || write(desk, &disk))
        };
        let other = {
            let (requests, room, disk) = (requests.clone(), Arc::clone(&room), Arc::clone(&disk));
            thread::spawn(move || ask(1, &requests, &room, &disk))
        };
        assert_eq!(ask(0, &requests, &room, &disk), Some(true));
        drop(requests);
        assert_eq!(other.join().unwrap(), Some(true));
        writer.join().unwrap();
        assert_eq!(*room.free.lock().unwrap(), 1);
    });
}

#[test]
fn after_a_failed_commit_nobody_is_told_yes() {
    for fails_at in 0..2 {
        model(2, move || {
            let (requests, desk, room, disk) = world(fails_at, 2);
            let writer = {
                let disk = Arc::clone(&disk);
                thread::spawn(move || write(desk, &disk))
            };
            let other = {
                let (requests, room, disk) =
                    (requests.clone(), Arc::clone(&room), Arc::clone(&disk));
                thread::spawn(move || ask(1, &requests, &room, &disk))
            };
            let first = ask(0, &requests, &room, &disk).unwrap();
            let again = ask(2, &requests, &room, &disk).unwrap();
            drop(requests);
            let second = other.join().unwrap().unwrap();
            writer.join().unwrap();
            assert!(fails_at > 0 || !(first || second || again));
            assert!(first || !again, "yes after a no");
            // Nothing is committed after the failure.
            assert!(disk.commits.load(Ordering::SeqCst) <= fails_at + 1);
        });
    }
}

#[test]
fn the_end_is_orderly_whoever_comes_before_or_after_it() {
    model(2, || {
        let (requests, desk, room, disk) = world(usize::MAX, 2);
        let writer = {
            let disk = Arc::clone(&disk);
            thread::spawn(move || write(desk, &disk))
        };
        let other = {
            let (requests, room, disk) = (requests.clone(), Arc::clone(&room), Arc::clone(&disk));
            thread::spawn(move || ask(1, &requests, &room, &disk))
        };
        let _ = requests.send(Request::Close);
        let late = ask(0, &requests, &room, &disk);
        assert_ne!(late, Some(true), "yes after the end");
        let answer = other.join().unwrap();
        writer.join().unwrap();
        assert_eq!(answer == Some(true), disk.durable[1].load(Ordering::SeqCst) == 1);
        assert_eq!(*room.free.lock().unwrap(), 2);
    });
}
