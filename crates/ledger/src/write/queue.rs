//! The commit queue, and the protocol by which its one reader answers: nobody is told yes before the
//! commit that holds his records has returned, everybody is answered exactly once, and after the first
//! failure nobody is told yes. Generic, so that a model checker can run it (`tests/loom.rs`).

use std::collections::VecDeque;
use std::time::Duration;

use crate::sync::{Arc, Condvar, Mutex, PoisonError};

/// Something to be committed together with what else waits.
pub(crate) trait Ask {
    /// What it is told when it is durable.
    type Answer;

    /// How much it is: records and bytes.
    fn weight(&self) -> (usize, usize);

    /// Answers, once and for all. `None`: it is not recorded, as far as anybody can rely on it.
    fn answer(self, answer: Option<Self::Answer>);
}

/// What is sent.
pub(crate) trait Message: Sized {
    type Ask: Ask;

    /// An ask, or something that stands for itself.
    fn into_ask(self) -> Result<Self::Ask, Self>;
}

struct State<M> {
    waiting: VecDeque<M>,
    senders: usize,
    /// The reader waits, and nobody has woken it yet: waking costs a system call.
    idle: bool,
    /// The reader is gone.
    closed: bool,
}

struct Shared<M> {
    state: Mutex<State<M>>,
    arrived: Condvar,
}

impl<M> Shared<M> {
    fn with<T>(&self, act: impl FnOnce(&mut State<M>) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Where messages are put in.
pub(crate) struct Sender<M>(Arc<Shared<M>>);

impl<M> Sender<M> {
    /// Puts a message at the end; gives it back if nobody will read it.
    pub(crate) fn send(&self, message: M) -> Result<(), M> {
        let idle = self.0.with(|state| {
            if state.closed {
                return Err(message);
            }
            state.waiting.push_back(message);
            Ok(std::mem::take(&mut state.idle))
        })?;
        if idle {
            self.0.arrived.notify_one();
        }
        Ok(())
    }
}

impl<M> Clone for Sender<M> {
    fn clone(&self) -> Self {
        self.0.with(|state| state.senders += 1);
        Self(Arc::clone(&self.0))
    }
}

impl<M> Drop for Sender<M> {
    fn drop(&mut self) {
        let last = self.0.with(|state| {
            state.senders -= 1;
            state.senders == 0
        });
        if last {
            self.0.arrived.notify_one();
        }
    }
}

/// The reader's side: takes what waits, has it committed, answers.
pub(crate) struct Desk<M: Message> {
    shared: Arc<Shared<M>>,
    /// Taken out of the queue, and not yet looked at.
    taken: VecDeque<M>,
    /// Gathered for the next commit.
    batch: Vec<M::Ask>,
    failed: bool,
}

/// What the desk found.
pub(crate) enum Found<M> {
    /// Nothing, for as long as it was to wait.
    Nothing,
    /// Asks, which [`Desk::settle`] is to be called for; and what came after them.
    Asks(Option<M>),
    /// Something that stands for itself.
    Other(M),
    /// Nobody is left who could send.
    Abandoned,
}

/// A queue of one reader.
pub(crate) fn queue<M: Message>() -> (Sender<M>, Desk<M>) {
    let state = State { waiting: VecDeque::new(), senders: 1, idle: false, closed: false };
    let shared = Arc::new(Shared { state: Mutex::new(state), arrived: Condvar::new() });
    let desk = Desk {
        shared: Arc::clone(&shared),
        taken: VecDeque::new(),
        batch: Vec::new(),
        failed: false,
    };
    (Sender(shared), desk)
}

impl<M: Message> Desk<M> {
    /// Gathers what waits, up to a limit of records and bytes; waits for a first message this long.
    pub(crate) fn gather(&mut self, patience: Duration, limit: (usize, usize)) -> Found<M> {
        if self.taken.is_empty() && !self.wait(patience) {
            return Found::Abandoned;
        }
        let (mut records, mut bytes) = (0, 0);
        while records < limit.0 && bytes < limit.1 {
            let Some(message) = self.take() else { break };
            match message.into_ask() {
                Ok(ask) => {
                    let weight = ask.weight();
                    records += weight.0;
                    bytes += weight.1;
                    self.batch.push(ask);
                }
                Err(other) if self.batch.is_empty() => return Found::Other(other),
                Err(other) => return Found::Asks(Some(other)),
            }
        }
        if self.batch.is_empty() { Found::Nothing } else { Found::Asks(None) }
    }

    /// Commits what was gathered and answers each. After a failure, its own or one told to
    /// [`Desk::fail`], nothing is committed and everybody is told no.
    pub(crate) fn settle<F>(
        &mut self,
        commit: impl FnOnce(&[M::Ask]) -> Result<Vec<<M::Ask as Ask>::Answer>, F>,
    ) -> Result<(), F> {
        let committed = if self.failed { Ok(Vec::new()) } else { commit(&self.batch) };
        self.failed |= committed.is_err();
        let (answers, result) = match committed {
            Ok(answers) => (answers, Ok(())),
            Err(failure) => (Vec::new(), Err(failure)),
        };
        let mut answers = answers.into_iter();
        for ask in self.batch.drain(..) {
            ask.answer(answers.next());
        }
        result
    }

    /// From now on nobody is told yes.
    pub(crate) const fn fail(&mut self) {
        self.failed = true;
    }

    /// Waits until something is there, or for this long; false if nobody is left to send.
    fn wait(&mut self, patience: Duration) -> bool {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut waited = false;
        while state.waiting.is_empty() {
            if state.senders == 0 {
                return false;
            }
            if waited {
                return true;
            }
            state.idle = true;
            let woken = self.shared.arrived.wait_timeout(state, patience);
            let (guard, timeout) = woken.unwrap_or_else(PoisonError::into_inner);
            state = guard;
            state.idle = false;
            waited = timeout.timed_out();
        }
        std::mem::swap(&mut state.waiting, &mut self.taken);
        true
    }

    /// The next message, without waiting.
    fn take(&mut self) -> Option<M> {
        if self.taken.is_empty() {
            let taken = &mut self.taken;
            self.shared.with(|state| std::mem::swap(&mut state.waiting, taken));
        }
        self.taken.pop_front()
    }
}

impl<M: Message> Drop for Desk<M> {
    /// Who still waits is told no, and who comes later gets his message back.
    fn drop(&mut self) {
        let left = self.shared.with(|state| {
            state.closed = true;
            std::mem::take(&mut state.waiting)
        });
        for ask in self.batch.drain(..) {
            ask.answer(None);
        }
        // Not while the lock is held: an answer may make somebody send again.
        for message in self.taken.drain(..).chain(left) {
            if let Ok(ask) = message.into_ask() {
                ask.answer(None);
            }
        }
    }
}
