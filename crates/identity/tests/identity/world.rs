//! Two people who may sign in, and a clock that is set by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use domain::{
    Clock, CorrelationId, Person, PersonId, PersonRole, Phi, Reject, Secret, Timestamp, Username,
};
use identity::{Attempt, Caller, Identity, Refusal, SignedIn};
use keys::SystemRandom;
use keys::custody::{Custody, FileKek};
use keys::opaque::HashKey;
use ledger::{Ledger, LedgerOptions};
use store::{Store, StoreKey};
use tempfile::TempDir;

pub const PASSWORD: &str = "correct horse battery staple";
pub const HOME: &str = "192.0.2.7";

struct Watch(AtomicI64);

impl Clock for Watch {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

pub struct World {
    pub identity: Identity,
    pub store: Store,
    pub ledger: Ledger,
    clock: Arc<Watch>,
    _dir: TempDir,
}

impl World {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let random = Arc::new(SystemRandom);
        let custody: Arc<dyn Custody> =
            Arc::new(FileKek::create(&dir.path().join("kek"), random.clone()).unwrap());
        let clock = Arc::new(Watch(AtomicI64::new(1_790_000_000_000)));
        let (log, log_keys) = (dir.path().join("ledger"), dir.path().join("ledger-keys"));
        let mut options = LedgerOptions::new(
            log,
            log_keys,
            "phi.example/ledger",
            custody,
            clock.clone(),
            random.clone(),
        );
        options.segment_bytes = 1 << 20;
        let (ledger, _) = Ledger::open(options).unwrap();
        let url = format!("sqlite:{}", dir.path().join("db").display());
        let key = StoreKey::from_slice(&[7; 32]).unwrap();
        let store = Store::open(&url, key, random.clone()).await.unwrap();
        let hash_key = Arc::new(HashKey::new(Secret::new([8; 32])));
        let identity =
            Identity::new(store.clone(), ledger.clone(), clock.clone(), random, hash_key).unwrap();
        let world = Self { identity, store, ledger, clock, _dir: dir };
        world.add("amina").await;
        world.add("dana").await;
        world.later(1);
        world
    }

    async fn add(&self, name: &str) {
        let now = self.now();
        let person = Person {
            id: PersonId::parse(&format!("p_{name}")).unwrap(),
            username: Username::parse(name).unwrap(),
            display_name: Phi::new(name.into()),
            role: PersonRole::Patient,
            own_record: None,
            acts_for: Vec::new(),
            fhir_user: None,
            created: now,
            disabled: None,
            password_set: Some(now),
        };
        let password = Secret::new(PASSWORD.to_owned());
        let phc = self.identity.passwords().hash(&password, &SystemRandom).unwrap();
        assert!(self.store.insert_person(&person, Some(&phc)).await.unwrap());
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets time pass.
    pub fn later(&self, secs: i64) {
        self.clock.0.fetch_add(secs * 1_000, Ordering::SeqCst);
    }

    pub async fn sign_in(
        &self,
        address: &str,
        name: &str,
        password: &str,
    ) -> Result<(String, SignedIn), Refusal> {
        let caller = Caller {
            address: address.parse().unwrap(),
            user_agent: None,
            correlation: CorrelationId::parse("c-1").unwrap(),
        };
        let attempt = Attempt { username: name.into(), password: Secret::new(password.into()) };
        let (secret, signed_in) = self.identity.sign_in(attempt, &caller).await?;
        Ok((secret.expose().to_owned(), signed_in))
    }

    /// How an attempt with a wrong password is refused.
    pub async fn guess(&self, address: &str, name: &str) -> Reject {
        rejected(self.sign_in(address, name, "wrong").await)
    }
}

/// Why a call was refused.
pub fn rejected<T>(answer: Result<T, Refusal>) -> Reject {
    match answer {
        Ok(_) => panic!("not refused"),
        Err(Refusal::Rejected(reject)) => *reject.get(),
        Err(Refusal::Fault(fault)) => panic!("{fault:?}"),
    }
}
