//! Each report's numbers against a naive recount over the same records.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::collections::BTreeSet;

use domain::scope::ScopeSet;
use domain::{Basis, Kind, Outcome, Reject, ResourceType, Timestamp};
use ledger::Body;
use ledger::read::Record;
use proptest::prelude::*;
use report::{
    Activity, Actor, Affected, Cause, Disclosures, Flag, Hours, Period, Refused, Suspension,
    UnusedScopes,
};
use support::{
    CLIENTS, HOUR, PATIENTS, PEOPLE, PURPOSES, START, client, directory, id, record, release,
};

const KINDS: [Kind; 5] =
    [Kind::PhiRelease, Kind::PhiDenied, Kind::TokenIssued, Kind::BreakGlass, Kind::SignIn];
const TYPES: [ResourceType; 3] =
    [ResourceType::Observation, ResourceType::Condition, ResourceType::Patient];
const NOW: Timestamp = Timestamp::from_millis(START + 2_000 * HOUR);

prop_compose! {
    fn any_record()(
        kind in 0..KINDS.len(),
        refused in prop::bool::weighted(0.2),
        patient in prop::option::of(0..PATIENTS.len()),
        by in prop::option::of(0..CLIENTS.len()),
        who in prop::option::of(0..PEOPLE.len()),
        basis in prop::option::of(0..Basis::ALL.len()),
        purpose in prop::option::of(0..PURPOSES.len()),
        types in prop::collection::vec(0..TYPES.len(), 0..4),
        hours in 0..400_i64,
        part in prop::option::of(1..3_u32),
        search in any::<bool>(),
        shredded in prop::bool::weighted(0.05),
    ) -> Record {
        let outcome = if refused { Outcome::Refused(Reject::OutOfReach) } else { Outcome::Success };
        let body = Body {
            subject: who.map(|n| PEOPLE[n].to_owned()),
            client: by.map(|n| client(CLIENTS[n])),
            patient: patient.map(|n| id(PATIENTS[n])),
            resources: types.iter().map(|n| (TYPES[*n], id("r"))).collect(),
            interaction: Some(if search { "search-type" } else { "read" }.to_owned()),
            purpose: purpose.map(|n| PURPOSES[n].to_owned()),
            basis: basis.map(|n| Basis::ALL[n].as_str().to_owned()),
            scopes: ScopeSet::parse(if search { "patient/Observation.s" } else { "patient/Observation.rs" }).ok(),
            part: part.map(|number| (number, 2)),
            jti_hash: who.map(|n| [u8::try_from(n).unwrap(); 32]),
            ..Body::default()
        };
        let mut record = record(0, hours, KINDS[kind], outcome, body);
        if shredded {
            record.body = None;
        }
        record
    }
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    prop::collection::vec(any_record(), 0..60).prop_map(|mut records| {
        records.sort_by_key(|record| record.time.millis());
        for (seq, record) in (0..).zip(&mut records) {
            record.seq = seq;
        }
        records
    })
}

/// What left, said in the plainest way.
fn released(record: &Record) -> Option<&Body> {
    let kind = record.kind == Some(Kind::PhiRelease) || record.kind == Some(Kind::BreakGlass);
    if kind && record.outcome == Some(Outcome::Success) { record.body.as_ref() } else { None }
}

fn excepted(body: &Body) -> bool {
    ["treatment", "payment", "operations", "patient-request", "authorization"]
        .iter()
        .any(|basis| body.basis.as_deref() == Some(*basis))
}

fn occasions<'a>(bodies: impl Iterator<Item = &'a Body>) -> u64 {
    bodies.filter(|body| body.part.is_none() || body.part == Some((1, 2))).count() as u64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn disclosures_are_those_that_a_recount_finds(records in records(), all in any::<bool>()) {
        let mut fold = Disclosures::new(id("pat-a"), all, Vec::new(), NOW).keeping_records();
        records.iter().for_each(|record| fold.take(record));
        let report = fold.finish(Period::default(), &directory());
        let mine: Vec<(&Record, &Body)> = records
            .iter()
            .filter_map(|record| released(record).map(|body| (record, body)))
            .filter(|(_, body)| body.patient == Some(id("pat-a")) && (all || !excepted(body)))
            .collect();
        let listed: BTreeSet<u64> = report.records().into_iter().collect();
        prop_assert_eq!(&listed, &mine.iter().map(|(record, _)| record.seq).collect());
        prop_assert_eq!(listed.len(), report.records().len());
        for row in &report.disclosures {
            let own = || mine.iter().filter(|(record, _)| row.counted.records.contains(&record.seq));
            let same: BTreeSet<_> =
                own().map(|(_, body)| (&body.client, &body.purpose, &body.basis)).collect();
            // An absent purpose and none are one; so at most those two.
            prop_assert!(same.len() == 1, "one recipient, one purpose, one basis");
            prop_assert_eq!(row.counted.occasions, occasions(own().map(|(_, body)| *body)));
            let resources: usize = own().map(|(_, body)| body.resources.len()).sum();
            prop_assert_eq!(row.counted.resources, resources as u64);
            prop_assert_eq!(row.counted.types.values().sum::<u64>(), resources as u64);
            let first = own().map(|(record, _)| record.time).min().unwrap();
            let last = own().map(|(record, _)| record.time).max().unwrap();
            prop_assert_eq!(&row.counted.first, &report::date_time(first));
            prop_assert_eq!(&row.counted.last, &report::date_time(last));
        }
    }

    #[test]
    fn activity_is_what_a_recount_finds(records in records()) {
        let mut fold = Activity::new(Actor::Person("p_solis".into()), Hours::DEFAULT, &directory())
            .keeping_records();
        records.iter().for_each(|record| fold.take(record));
        let report = fold.finish(Period::default(), &directory());
        let mine: Vec<&Record> = records
            .iter()
            .filter(|record| {
                record.body.as_ref().is_some_and(|body| body.subject.as_deref() == Some("p_solis"))
            })
            .collect();
        let refused = mine.iter().filter(|record| record.outcome != Some(Outcome::Success)).count();
        prop_assert_eq!(report.refused, refused as u64);
        let listed: BTreeSet<u64> = report.records().into_iter().collect();
        let left: BTreeSet<u64> =
            mine.iter().filter(|r| released(r).is_some()).map(|r| r.seq).collect();
        prop_assert_eq!(&listed, &left);
        for access in &report.accesses {
            let flagged = |flag| access.flags.contains(&flag);
            let own = || mine.iter().filter(|r| access.counted.records.contains(&r.seq));
            prop_assert_eq!(flagged(Flag::BreakGlass), own().any(|r| r.kind == Some(Kind::BreakGlass)));
            prop_assert_eq!(flagged(Flag::OwnRecord), access.patient.as_deref() == Some("pat-c"));
            prop_assert_eq!(flagged(Flag::NoRelationship), access.patient.as_deref() == Some("pat-b"));
            let off = |r: &&&Record| {
                let hours = (r.time.millis() - START) / HOUR;
                !((7..19).contains(&(hours % 24)) && (hours / 24) % 7 < 5)
            };
            prop_assert_eq!(flagged(Flag::OffHours), own().any(|r| off(&r)));
        }
    }

    #[test]
    fn refusals_are_what_a_recount_finds(records in records()) {
        let mut fold = Refused::new().keeping_records();
        records.iter().for_each(|record| fold.take(record));
        let report = fold.finish(Period::default(), &directory());
        let refused: Vec<&Record> = records
            .iter()
            .filter(|r| r.body.is_some() && r.outcome != Some(Outcome::Success))
            .collect();
        prop_assert_eq!(report.total, refused.len() as u64);
        prop_assert_eq!(report.records().len(), refused.len());
        for name in CLIENTS {
            let bodies = refused.iter().filter_map(|r| r.body.as_ref());
            let own = occasions(bodies.filter(|body| body.client == Some(client(name))));
            let said = report.groups.iter().find(|g| g.by == "client" && g.value == name);
            prop_assert_eq!(said.map_or(0, |g| g.counted.occasions), own);
        }
    }

    #[test]
    fn the_affected_are_those_whose_data_went_that_way(records in records()) {
        let cause = Cause { client: Some(client("app")), person: None, token: Some([1; 32]) };
        let mut fold = Affected::new(cause).keeping_records();
        records.iter().for_each(|record| fold.take(record));
        let report = fold.finish(Period::default(), &directory());
        let mine = |patient: Option<&str>| {
            records
                .iter()
                .filter_map(released)
                .filter(|body| body.client == Some(client("app")) && body.jti_hash == Some([1; 32]))
                .filter(|body| body.patient.as_ref().map(domain::FhirId::as_str) == patient)
                .collect::<Vec<_>>()
        };
        for name in PATIENTS {
            let said = report.patients.iter().find(|one| one.patient == name);
            prop_assert_eq!(said.is_some(), !mine(Some(name)).is_empty());
            if let Some(said) = said {
                prop_assert_eq!(said.counted.occasions, occasions(mine(Some(name)).into_iter()));
            }
        }
        prop_assert_eq!(report.about_nobody, mine(None).len() as u64);
    }

    #[test]
    fn the_narrower_registration_covers_everything_that_was_used(records in records()) {
        let mut fold = UnusedScopes::new(None);
        records.iter().for_each(|record| fold.take(record));
        let report = fold.finish(Period::default(), &directory());
        prop_assert_eq!(report.clients.len(), CLIENTS.len());
        for judged in &report.clients {
            let narrower = ScopeSet::parse(&judged.narrower).unwrap();
            let used: BTreeSet<&str> = records
                .iter()
                .filter_map(released)
                .filter(|body| body.client.as_ref().is_some_and(|c| c.as_str() == judged.client))
                .map(|body| body.interaction.as_deref().unwrap())
                .collect();
            let letters = match (used.contains("read"), used.contains("search-type")) {
                (true, true) => " patient/Observation.rs",
                (true, false) => " patient/Observation.r",
                (false, true) => " patient/Observation.s",
                (false, false) => "",
            };
            prop_assert_eq!(narrower.to_string(), format!("openid{letters}"));
        }
    }
}

#[test]
fn a_patient_never_seen_has_an_empty_report() {
    let fold = Disclosures::new(id("nobody"), true, Vec::new(), NOW);
    let report = fold.finish(Period::default(), &directory());
    assert!(report.disclosures.is_empty());
    assert!(report.document(NOW).notes[0].contains("no disclosure"));
}

#[test]
fn repeated_disclosures_to_one_recipient_for_one_purpose_are_one_line() {
    let mut fold = Disclosures::new(id("pat-a"), false, Vec::new(), NOW);
    for seq in 0..5 {
        fold.take(&release(seq, seq as i64 * 24, "pat-a", "app", &[ResourceType::Observation]));
    }
    let mut other = release(5, 130, "pat-a", "app", &[ResourceType::Condition]);
    other.body.as_mut().unwrap().purpose = Some("research".into());
    fold.take(&other);
    let report = fold.finish(Period::default(), &directory());
    assert_eq!(report.disclosures.len(), 2);
    let first = &report.disclosures[0];
    assert_eq!((first.counted.occasions, first.recipient.as_str()), (5, "app Inc."));
    assert_eq!(
        (first.counted.first.as_str(), first.counted.last.as_str()),
        ("2026-11-02T00:00:00Z", "2026-11-06T00:00:00Z")
    );
    assert_eq!(first.address, "1 Main St");
}

#[test]
fn an_agencys_statement_hides_its_disclosures_until_it_ends_and_no_others() {
    let count = |basis: Basis, until: i64| {
        let until = Timestamp::from_millis(NOW.millis() + until);
        let statement = Suspension { client: client("agency"), until };
        let mut fold = Disclosures::new(id("pat-a"), true, vec![statement], NOW);
        for by in ["agency", "app"] {
            let mut record = release(0, 0, "pat-a", by, &[ResourceType::Observation]);
            record.body.as_mut().unwrap().basis = Some(basis.as_str().into());
            fold.take(&record);
        }
        let report = fold.finish(Period::default(), &directory());
        // Whoever asks does not learn of it.
        assert!(!serde_json::to_string(&report).unwrap().contains("suspend"));
        (report.disclosures.len(), report.suspended)
    };
    assert_eq!(count(Basis::LawEnforcement, 1), (1, 1));
    assert_eq!(count(Basis::HealthOversight, 1), (1, 1));
    assert_eq!(count(Basis::LawEnforcement, 0), (2, 0));
    assert_eq!(count(Basis::Research, 1), (2, 0));
}

#[test]
fn a_day_with_far_more_than_the_median_stands_out() {
    let mut fold = Activity::new(Actor::Client(client("app")), Hours::DEFAULT, &directory());
    let mut seq = 0;
    for (day, times) in [(0, 2), (1, 3), (2, 2), (3, 40), (4, 9)] {
        for _ in 0..times {
            seq += 1;
            fold.take(&release(seq, day * 24 + 9, "pat-a", "app", &[ResourceType::Observation]));
        }
    }
    let report = fold.finish(Period::default(), &directory());
    assert_eq!(report.median_per_day, 3);
    let days: Vec<_> = report.unusual_days.iter().map(|day| day.day.as_str()).collect();
    assert_eq!(days, ["2026-11-05"], "nine is three times the median and no more than that");
}
