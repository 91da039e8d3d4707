//! Who may use whom: the table of docs/ARCHITECTURE.md, held against what cargo says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use cargo_metadata::{Metadata, MetadataCommand};

/// A room, and the rooms it may use. A crate that is in no row may not exist.
const ROOMS: &[(&str, &[&str])] = &[
    ("phiward-domain", &[]),
    ("phiward-keys", &["phiward-domain"]),
    ("phiward-outbound", &["phiward-domain"]),
    ("phiward-policy", &["phiward-domain"]),
    ("phiward-fhir", &["phiward-domain"]),
    ("phiward-ledger", &["phiward-domain", "phiward-keys", "phiward-outbound"]),
    ("phiward-store", &["phiward-domain", "phiward-keys"]),
    (
        "phiward-identity",
        &["phiward-domain", "phiward-keys", "phiward-store", "phiward-ledger", "phiward-outbound"],
    ),
    (
        "phiward-authority",
        &[
            "phiward-domain",
            "phiward-keys",
            "phiward-policy",
            "phiward-store",
            "phiward-identity",
            "phiward-ledger",
            "phiward-outbound",
        ],
    ),
    (
        "phiward-gateway",
        &[
            "phiward-domain",
            "phiward-keys",
            "phiward-policy",
            "phiward-store",
            "phiward-fhir",
            "phiward-ledger",
            "phiward-outbound",
        ],
    ),
    ("phiward-web", ENGINES_AND_BELOW),
    ("phiward-sample-fhir", &[]),
    ("phiward", EVERYTHING),
    // Around the house: they may use anything, nothing of the house uses them.
    ("phiward-journeys", EVERYTHING),
    (
        "phiward-ledger-bench",
        &["phiward-domain", "phiward-keys", "phiward-ledger", "phiward-store"],
    ),
    // Starts the demo and signs people in by the journeys' harness.
    (
        "phiward-bench",
        &["phiward-keys", "phiward-sample-fhir", "phiward-journeys", "phiward-ledger-bench"],
    ),
    ("xtask", EVERYTHING),
];

const ENGINES_AND_BELOW: &[&str] = &[
    "phiward-domain",
    "phiward-keys",
    "phiward-outbound",
    "phiward-policy",
    "phiward-fhir",
    "phiward-ledger",
    "phiward-store",
    "phiward-identity",
    "phiward-authority",
    "phiward-gateway",
];

const EVERYTHING: &[&str] = &[
    "phiward-domain",
    "phiward-keys",
    "phiward-outbound",
    "phiward-policy",
    "phiward-fhir",
    "phiward-ledger",
    "phiward-store",
    "phiward-identity",
    "phiward-authority",
    "phiward-gateway",
    "phiward-web",
    "phiward-sample-fhir",
];

/// Not part of the product: free to use any library.
const AROUND: &[&str] = &["phiward-journeys", "phiward-ledger-bench", "phiward-bench", "xtask"];

/// A library that only some rooms may depend on directly, and why.
const CONFINED: &[(&str, &[&str], &str)] = &[
    ("aws-lc-rs", &["phiward-keys"], "cryptography of ours is in `keys`"),
    ("cryptoki", &["phiward-keys"], "custody of keys is in `keys`"),
    ("jsonwebtoken", &["phiward-keys"], "cryptography of ours is in `keys`"),
    ("argon2", &["phiward-identity"], "passwords are judged in `identity`"),
    ("sqlx", &["phiward-store"], "all SQL is in `store`"),
    ("minicbor", &["phiward-ledger"], "only the record is CBOR"),
    (
        "rustls",
        &["phiward-web", "phiward-outbound", "phiward"],
        "TLS ends in `web`, begins in `outbound`",
    ),
    (
        "tokio-rustls",
        &["phiward-web", "phiward-outbound"],
        "TLS ends in `web`, begins in `outbound`",
    ),
    (
        "rcgen",
        &["phiward-web", "phiward-outbound", "phiward-store"],
        "certificates are made in `web` (and in the tests of `outbound` and `store`)",
    ),
    (
        "hyper",
        &["phiward-web", "phiward-outbound", "phiward-sample-fhir"],
        "HTTP enters by `web` and leaves by `outbound`",
    ),
    (
        "hyper-util",
        &["phiward-web", "phiward-outbound", "phiward-sample-fhir"],
        "HTTP enters by `web` and leaves by `outbound`",
    ),
    ("axum", &["phiward-web"], "routes are in `web`"),
    ("tower", &["phiward-web"], "routes are in `web`"),
    ("askama", &["phiward-web"], "pages are rendered in `web`"),
    (
        "clap",
        &["phiward", "phiward-ledger"],
        "the command line is in `phiward` (and the auditor's, in `ledger`)",
    ),
    ("toml", &["phiward"], "configuration is read in `phiward`"),
    ("reqwest", &[], "`outbound` is the one HTTP client"),
    ("ureq", &[], "`outbound` is the one HTTP client"),
];

/// A crate of the workspace and what it depends on directly, tests and build scripts included.
struct Member {
    name: String,
    uses: Vec<String>,
}

fn members() -> Vec<Member> {
    let metadata: Metadata = MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata");
    let member = |package: cargo_metadata::Package| Member {
        name: package.name.to_string(),
        uses: package.dependencies.into_iter().map(|dependency| dependency.name).collect(),
    };
    metadata.packages.into_iter().map(member).collect()
}

/// What a workspace of these members breaks.
fn breaches(members: &[Member]) -> Vec<String> {
    let mut breaches = Vec::new();
    for Member { name, uses } in members {
        let Some((_, may_use)) = ROOMS.iter().find(|(room, _)| room == name) else {
            breaches.push(format!("{name} is not in the table"));
            continue;
        };
        for used in uses {
            let ours = members.iter().any(|member| member.name == *used);
            if ours && !may_use.contains(&used.as_str()) {
                breaches.push(format!("{name} may not use {used}"));
            }
            let confined = CONFINED.iter().find(|(library, ..)| library == used);
            if let Some((_, rooms, why)) = confined
                && !rooms.contains(&name.as_str())
                && !AROUND.contains(&name.as_str())
            {
                breaches.push(format!("{name} may not use {used}: {why}"));
            }
        }
    }
    breaches
}

#[test]
fn no_crate_uses_what_the_table_does_not_allow() {
    let members = members();
    assert!(members.len() > AROUND.len(), "cargo metadata lists the workspace");
    let breaches = breaches(&members);
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn every_kind_of_breach_is_reported() {
    let member = |name: &str, uses: &[&str]| Member {
        name: name.into(),
        uses: uses.iter().map(ToString::to_string).collect(),
    };
    let workspace = [
        member("phiward-domain", &["serde", "phiward-keys"]),
        member("phiward-keys", &["phiward-domain", "aws-lc-rs"]),
        member("phiward-authority", &["phiward-gateway"]),
        member("phiward-gateway", &["sqlx"]),
        member("phiward-journeys", &["aws-lc-rs", "phiward-gateway"]),
        member("phiward", &["phiward-journeys"]),
        member("phiward-shed", &[]),
    ];
    assert_eq!(
        breaches(&workspace),
        [
            "phiward-domain may not use phiward-keys",
            "phiward-authority may not use phiward-gateway",
            "phiward-gateway may not use sqlx: all SQL is in `store`",
            "phiward may not use phiward-journeys",
            "phiward-shed is not in the table",
        ]
    );
}

#[test]
fn the_table_itself_has_one_direction() {
    // Rows stand below the rows that they name: then there is no way back.
    let row = |room: &str| ROOMS.iter().position(|(name, _)| *name == room);
    for (room, uses) in ROOMS {
        for used in *uses {
            assert!(row(used).expect(used) < row(room).expect(room), "{room} stands above {used}");
            let engines = ["phiward-authority", "phiward-gateway"];
            let both = engines.contains(room) && engines.contains(used);
            assert!(!both, "the engines never see each other");
        }
    }
}
