//! The log in other people's hands: Go's `tlog` and `note`, and a Python verifier, neither with anything of
//! ours in it, accept what we export, prove and give as receipts, and refuse every altered copy.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use phiward_journeys::{App, Demo, LAB_SCOPE, Partners, files, repository};
use serde_json::{Value, json};

/// Neither of them is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verifier {
    Go,
    Python,
}

const BOTH: [Verifier; 2] = [Verifier::Go, Verifier::Python];

impl Verifier {
    fn asked(self, partners: &Partners, what: &str, files: &[&Path]) -> Output {
        let mut command = match self {
            Self::Go => partners.tlogcheck(),
            Self::Python => partners.python("tlog/check.py"),
        };
        command.arg(what).args(files).output().unwrap()
    }

    /// What it says of something that holds.
    fn accepts(self, partners: &Partners, what: &str, files: &[&Path]) -> Value {
        let output = self.asked(partners, what, files);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{self:?} refuses {what} {files:?}: {said}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// That it refuses, by its own judgement and not because it fell over.
    fn refuses(self, partners: &Partners, what: &str, files: &[&Path], why: &str) {
        let output = self.asked(partners, what, files);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{self:?} on {why}: {said}");
        assert!(!said.contains("Traceback") && !said.contains("goroutine"), "{why}: {said}");
        assert!(said.contains("check"), "{why}: {said}");
    }
}

/// A command's output as a file of this name.
fn kept(folder: &Path, name: &str, output: &Output) -> PathBuf {
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    let path = folder.join(name);
    std::fs::write(&path, &output.stdout).unwrap();
    path
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(file, target).unwrap();
    }
}

fn key_of(demo: &Demo) -> PathBuf {
    let found = files(&demo.data()).into_iter().find(|path| path.ends_with("stable.vkey"));
    found.expect("a public key")
}

fn export(demo: &Demo, out: &Path, more: &[&str]) -> Output {
    let out = out.to_str().unwrap();
    let mut arguments = vec!["ledger", "export", "--format", "tlog", "--output", out];
    arguments.extend(more);
    demo.command(&arguments)
}

/// How a copy of a good log is altered, and by whom that must be noticed.
type Alteration = (&'static str, Box<dyn Fn(&Path)>);

fn flipped(name: &'static str, place: usize) -> Box<dyn Fn(&Path)> {
    Box::new(move |log| {
        let path = log.join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[place] ^= 1;
        std::fs::write(path, bytes).unwrap();
    })
}

fn alterations(partial: &str, checkpoint_of_another: String) -> Vec<Alteration> {
    let partial = partial.to_owned();
    let shortened = partial.clone();
    vec![
        ("one flipped bit in a full tile", flipped("tile/0/000", 4_000)),
        ("one flipped bit at its end", flipped("tile/0/000", 8_191)),
        (
            "one flipped bit in a partial tile",
            Box::new(move |log| {
                let mut bytes = std::fs::read(log.join(&partial)).unwrap();
                bytes[0] ^= 0x80;
                std::fs::write(log.join(&partial), bytes).unwrap();
            }),
        ),
        (
            "a tile cut short",
            Box::new(move |log| {
                let bytes = std::fs::read(log.join(&shortened)).unwrap();
                std::fs::write(log.join(&shortened), &bytes[..bytes.len() - 32]).unwrap();
            }),
        ),
        ("a missing tile", Box::new(|log| std::fs::remove_file(log.join("tile/0/000")).unwrap())),
        (
            "two entries swapped",
            Box::new(|log| {
                let path = log.join("tile/entries/000");
                let bytes = std::fs::read(&path).unwrap();
                let len =
                    |at: usize| 2 + usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
                let (first, second) = (len(0), len(len(0)));
                let swapped =
                    [&bytes[first..first + second], &bytes[..first], &bytes[first + second..]];
                std::fs::write(path, swapped.concat()).unwrap();
            }),
        ),
        ("one flipped bit in an entry", flipped("tile/entries/000", 500)),
        (
            "another root",
            Box::new(|log| {
                let text = std::fs::read_to_string(log.join("checkpoint")).unwrap();
                let mut lines: Vec<&str> = text.split('\n').collect();
                lines[2] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
                std::fs::write(log.join("checkpoint"), lines.join("\n")).unwrap();
            }),
        ),
        (
            "a smaller size",
            Box::new(|log| {
                let text = std::fs::read_to_string(log.join("checkpoint")).unwrap();
                let mut lines: Vec<&str> = text.split('\n').collect();
                lines[1] = "256";
                std::fs::write(log.join("checkpoint"), lines.join("\n")).unwrap();
            }),
        ),
        (
            "another log's checkpoint",
            Box::new(move |log| {
                std::fs::write(log.join("checkpoint"), &checkpoint_of_another).unwrap();
            }),
        ),
    ]
}

#[tokio::test]
async fn gos_verifier_and_a_python_one_accept_our_log_and_refuse_every_altered_copy() {
    let partners = Partners::ready();
    let demo = Demo::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let key = key_of(&demo);
    let app = App::of(&demo, "demo-native");
    let grant = app.connect(&mut demo.person("amina"), LAB_SCOPE).await;
    let old = kept(folder, "old.txt", &demo.command(&["ledger", "checkpoint"]));
    // Every read is a batch of two leaves: more than one full tile, and a partial one.
    for number in 0..160 {
        let answer = app.read(&format!("Observation/none-{number}"), grant.access_token()).await;
        assert_eq!(answer.status, 404);
    }
    tokio::time::sleep(Duration::from_secs(6)).await;

    // Beside the running server. Without entries there is nothing of anybody in it.
    let (public, sealed) = (folder.join("public"), folder.join("sealed"));
    let output = export(&demo, &public, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!public.join("tile/entries").exists());
    let output = export(&demo, &sealed, &["--entries", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    let again = export(&demo, &sealed, &[]);
    assert_eq!(again.status.code(), Some(2), "an export overwrites nothing");
    let size = made["size"].as_u64().unwrap();
    assert!(size > 256 + 50, "{size}");

    let prove = demo.command(&["ledger", "prove", "100"]);
    let inclusion = kept(folder, "inclusion.json", &prove);
    let prove = demo.command(&["ledger", "consistency", old.to_str().unwrap()]);
    let consistency = kept(folder, "consistency.json", &prove);
    for verifier in BOTH {
        let found = verifier.accepts(&partners, "log", &[&public, &key, &old]);
        assert!(
            found["leaves"].as_u64() > Some(256) && found["leaves"] == found["size"],
            "{found}"
        );
        let found = verifier.accepts(&partners, "log", &[&sealed, &key, &old]);
        let expected = json!({ "size": size, "leaves": size, "entries": size, "consistent": 1 });
        assert_eq!(found, expected);
        verifier.accepts(&partners, "inclusion", &[&inclusion, &key]);
        verifier.accepts(&partners, "consistency", &[&consistency, &old, &key]);
    }

    let other = Demo::start(&[]);
    let foreign = key_of(&other);
    let foreign_old = kept(folder, "foreign.txt", &other.command(&["ledger", "checkpoint"]));
    let foreign_text = std::fs::read_to_string(&foreign_old).unwrap();
    let partial = files(&sealed.join("tile/0"))
        .into_iter()
        .map(|path| path.strip_prefix(&sealed).unwrap().to_str().unwrap().to_owned())
        .find(|name| name.contains(".p/"))
        .expect("a partial tile");
    for (number, (why, alter)) in alterations(&partial, foreign_text).into_iter().enumerate() {
        let log = folder.join(format!("altered-{number}"));
        copy(&sealed, &log);
        alter(&log);
        for verifier in BOTH {
            verifier.refuses(&partners, "log", &[&log, &key, &old], why);
        }
    }
    for verifier in BOTH {
        verifier.refuses(&partners, "log", &[&sealed, &foreign], "a foreign key");
        verifier.refuses(&partners, "log", &[&sealed, &key, &foreign_old], "a foreign past");
        verifier.refuses(&partners, "inclusion", &[&inclusion, &foreign], "a foreign key");
        let files: [&Path; 3] = [&consistency, &old, &foreign];
        verifier.refuses(&partners, "consistency", &files, "a foreign key");
    }
}

/// The program that the how-to prints.
fn recipe(folder: &Path) -> PathBuf {
    let text = repository().join("docs/how-to/check-a-receipt.md");
    let text = std::fs::read_to_string(text).unwrap();
    let (_, rest) = text.split_once("```python\n").expect("a program");
    let (program, _) = rest.split_once("```").unwrap();
    let path = folder.join("recipe.py");
    std::fs::write(&path, program).unwrap();
    path
}

#[tokio::test]
async fn a_receipt_is_proven_to_the_app_by_the_recipe_of_the_documentation_and_by_other_peoples_code()
 {
    let partners = Partners::ready();
    let demo = Demo::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let key = key_of(&demo);
    let recipe = recipe(folder);
    let app = App::of(&demo, "demo-native");
    let grant = app.connect(&mut demo.person("amina"), LAB_SCOPE).await;
    let token = grant.access_token();
    let url = |receipt: &str| format!("{}/ledger/proof/{receipt}", demo.ready.issuer);
    let found = app.read("Observation?_count=1", token).await;
    assert_eq!(found.status, 200);
    let mut numbers = Vec::new();
    for answer in [found, app.read("Observation/none", token).await] {
        // At once, before any checkpoint covers it.
        let receipt = answer.header("audit-receipt").expect("a receipt");
        assert_eq!(receipt.len(), 63);
        let proof = demo.client.read(&url(receipt), token).await;
        assert_eq!(proof.status, 200, "{}", proof.text());
        assert_eq!(proof.header("cache-control"), Some("no-store"));
        let file = folder.join("receipt.json");
        std::fs::write(&file, proof.text()).unwrap();
        let run = |file: &Path, key: &Path| -> Output {
            let mut command: Command = partners.python_on(&recipe);
            command.args([file, key]).output().unwrap()
        };
        let output = run(&file, &key);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            said.starts_with("holds: 1 of "),
            "{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        for verifier in BOTH {
            verifier.accepts(&partners, "receipt", &[&file, &key]);
        }
        // Bent in every part, it proves nothing to anybody.
        let good = proof.json();
        let bends: [(&str, Value); 4] = [
            ("/records/0/index", json!(good["records"][0]["index"].as_u64().unwrap() - 1)),
            ("/records/0/leaf", good["records"][0]["path"][0].clone()),
            ("/records/0/path", json!([])),
            (
                "/checkpoint",
                json!(good["checkpoint"].as_str().unwrap().replace("/ledger\n", "/ledger\n1")),
            ),
        ];
        for (place, value) in bends {
            let mut bent = good.clone();
            *bent.pointer_mut(place).unwrap() = value;
            let file = folder.join("bent.json");
            std::fs::write(&file, bent.to_string()).unwrap();
            assert!(!run(&file, &key).status.success(), "{place}");
            for verifier in BOTH {
                verifier.refuses(&partners, "receipt", &[&file, &key], place);
            }
        }
        // The operator opens the record: it is this answer's.
        let seq = good["records"][0]["seq"].as_u64().unwrap();
        let shown = demo.command(&["ledger", "show", "--json", "--seq", &seq.to_string()]);
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        let correlation = answer.header("x-correlation-id").unwrap();
        assert_eq!(shown["body"]["correlation"], correlation, "{shown}");
        numbers.push((receipt.to_owned(), shown));
    }
    assert_eq!(numbers[0].1["kind"], "phi.release");
    assert_eq!(numbers[1].1["kind"], "phi.denied");

    // Of use to nobody else, and an app that did not ask has none.
    let receipt = &numbers[0].0;
    let brooks = app.connect(&mut demo.person("brook"), LAB_SCOPE).await;
    for (token, receipt) in [(brooks.access_token(), receipt.as_str()), (token, "x"), (token, "")] {
        let answer = demo.client.read(&url(receipt), token).await;
        assert_eq!(answer.status, 404, "{}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
    assert_eq!(demo.client.get(&url(receipt), &[]).await.status, 401);
    let web = App::of(&demo, "demo-web");
    let plain = web.connect(&mut demo.person("amina"), LAB_SCOPE).await;
    let answer = web.read("Observation?_count=1", plain.access_token()).await;
    assert!(answer.status == 200 && answer.header("audit-receipt").is_none());
}
