//! The store's contract, each clause written once and run on SQLite and on PostgreSQL: no caller can
//! tell which. On SQLite each clause is a test of its own; on PostgreSQL one test runs all of them,
//! each in a fresh schema of one temporary cluster.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::print_stderr,
    clippy::large_futures,
    missing_docs,
    reason = "tests"
)]

extern crate phiward_store as store;

mod cluster;
mod codes;
mod dump;
mod flows;
mod opening;
mod refresh;
mod registry;
mod replay;
mod words;

use std::path::PathBuf;
use std::sync::Arc;

use cluster::Cluster;
use keys::SystemRandom;
use store::{OpenError, Store, StoreKey};

/// A fresh database.
#[derive(Clone)]
pub(crate) struct Db {
    pub(crate) url: String,
    /// Every file that the database writes is below.
    pub(crate) files: PathBuf,
}

pub(crate) fn key(byte: u8) -> StoreKey {
    StoreKey::from_slice(&[byte; 32]).unwrap()
}

impl Db {
    pub(crate) async fn try_open(&self, byte: u8) -> Result<Store, OpenError> {
        Store::open(&self.url, key(byte), Arc::new(SystemRandom)).await
    }

    pub(crate) async fn open(&self) -> Store {
        self.try_open(1).await.unwrap()
    }

    /// A statement past the store, as somebody with the database's password could send it.
    pub(crate) async fn tamper(&self, statement: &'static str) -> u64 {
        use sqlx::Connection as _;
        sqlx::any::install_default_drivers();
        let url = self.url.replace("sqlite:", "sqlite://");
        let mut conn = sqlx::AnyConnection::connect(&url).await.unwrap();
        let done = sqlx::query(statement).execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
        done.rows_affected()
    }
}

fn run(clause: impl Future<Output = ()> + Send + 'static) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async { tokio::spawn(clause).await.unwrap() });
}

fn on_sqlite<F: Future<Output = ()> + Send + 'static>(clause: impl FnOnce(Db) -> F) {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", dir.path().join("a store.db").to_str().unwrap());
    run(clause(Db { url, files: dir.path().to_owned() }));
}

macro_rules! contract {
    ($($module:ident: $($clause:ident)*;)*) => {
        mod sqlite {
            $($(
                #[test]
                fn $clause() {
                    super::on_sqlite(super::$module::$clause);
                }
            )*)*
        }

        #[test]
        fn postgresql_keeps_every_clause() {
            let cluster = Cluster::start();
            let mut broken: Vec<&str> = Vec::new();
            $($(
                let db = cluster.database();
                let clause = std::panic::AssertUnwindSafe(|| run($module::$clause(db)));
                if std::panic::catch_unwind(clause).is_err() {
                    broken.push(stringify!($clause));
                }
            )*)*
            drop(cluster);
            assert!(broken.is_empty(), "on PostgreSQL these do not hold: {broken:?}");
        }
    };
}

contract! {
    // First, while there are few files to search.
    opening: no_planted_name_stands_in_any_file;
    registry:
        a_client_reads_back_and_its_name_is_taken_once
        a_person_reads_back_and_is_found_by_username
        a_session_ends_at_its_time_or_before
        a_grant_reads_back_and_the_first_withdrawal_counts
        all_grants_of_a_person_or_a_client_are_withdrawn_at_once
        what_a_token_rests_on_is_told_in_one_answer
        whom_a_person_may_reach_comes_with_the_answer
        whether_answers_carry_receipts_comes_with_the_answer
        what_is_over_is_forgotten_and_what_a_replay_needs_is_not;
    flows:
        a_flow_belongs_to_its_browser_and_is_consumed_once
        a_flow_consumed_fifty_times_at_once_is_given_out_once;
    codes:
        a_code_is_consumed_once_and_then_names_its_grant
        another_clients_attempt_leaves_the_code_as_it_was
        a_code_is_worth_nothing_once_it_or_its_grant_is_over
        a_code_redeemed_fifty_times_at_once_is_consumed_once
        a_code_is_never_consumed_after_its_grant_was_withdrawn;
    refresh:
        a_rotation_spends_the_old_token_and_continues_the_line
        a_line_never_outlives_its_first_token
        a_grant_has_one_line
        a_bound_token_stays_and_its_idle_end_moves
        a_token_used_fifty_times_at_once_leaves_one_live_line
        no_line_lives_after_its_grant_was_withdrawn
        a_change_that_fails_leaves_nothing_and_harms_no_other;
    replay:
        an_assertion_is_claimed_once_even_by_fifty_at_once
        of_fifty_attempts_at_once_no_more_than_the_limit_see_room
        the_first_of_many_secrets_under_one_name_wins;
    dump:
        what_is_dumped_is_loaded_into_either_database
        a_load_revokes_what_may_have_ended_since
        a_load_that_fails_changes_nothing
        a_dump_is_of_one_moment;
    opening:
        what_was_kept_is_there_after_closing
        a_wrong_key_is_named_and_changes_nothing
        a_newer_schema_is_named_and_left_alone
        a_closed_store_fails_instead_of_waiting
        two_nodes_may_open_a_new_database_at_once
        a_sealed_value_moved_to_another_row_does_not_open;
}

#[test]
fn a_sqlite_file_is_its_owners_only() {
    on_sqlite(opening::the_file_is_made_0600_and_refused_when_others_may_read_it);
}

#[test]
fn a_url_that_would_cross_a_network_in_the_clear_is_refused() {
    run(opening::a_distant_database_needs_verified_tls());
}

#[test]
fn a_database_server_must_prove_its_name() {
    let (cluster, port, certificate) = Cluster::start_with_tls();
    run(opening::only_the_named_server_is_spoken_to(port, certificate));
    drop(cluster);
}
