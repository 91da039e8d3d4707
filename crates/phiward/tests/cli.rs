//! The binary as people and scripts meet it: exit codes, one line on standard error that names what is
//! wrong and where, and nothing changed by a refusal.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{Demo, phiward, stderr, stdout};
use tempfile::TempDir;

/// Exit code 2 and one line that holds all of these.
fn refused(args: &[&str], said: &[&str]) {
    let output = phiward(args);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
    let text = stderr(&output);
    assert_eq!(text.trim_end().lines().count(), 1, "{text}");
    for part in said {
        assert!(text.contains(part), "{args:?}: `{part}` is not in: {text}");
    }
}

fn path(dir: &Path, name: &str) -> String {
    dir.join(name).to_str().unwrap().to_owned()
}

/// An installation made by `init`, with a certificate of the demo's making.
fn installation() -> (TempDir, String) {
    let demo = Demo::start();
    let dir = tempfile::tempdir().unwrap();
    let made = phiward(&["init", dir.path().to_str().unwrap()]);
    assert!(made.status.success(), "{}", stderr(&made));
    for name in ["server.pem", "server.key"] {
        let from = demo.dir.path().join("demo/tls").join(name);
        fs::copy(from, dir.path().join("tls").join(name)).unwrap();
    }
    let config = path(dir.path(), "phiward.toml");
    (dir, config)
}

fn edit(config: &str, from: &str, to: &str) {
    let text = fs::read_to_string(config).unwrap();
    assert!(text.contains(from), "{from}");
    fs::write(config, text.replacen(from, to, 1)).unwrap();
}

/// The help of a command and of all below it.
fn helps(command: &[&str], found: &mut Vec<(String, String)>) {
    let output = phiward(&[command, &["--help"]].concat());
    assert!(output.status.success(), "{command:?}: {}", stderr(&output));
    let help = stdout(&output);
    let listed = help.split_once("\nCommands:\n").map_or("", |(_, rest)| rest);
    for line in listed.lines().take_while(|line| !line.is_empty()) {
        let name = line.split_whitespace().next().unwrap();
        if name != "help" && !line.contains("(not in this version)") {
            helps(&[command, &[name]].concat(), found);
        }
    }
    found.push((command.join(" "), help));
}

#[test]
fn every_command_shows_an_example() {
    let mut found = Vec::new();
    helps(&[], &mut found);
    assert!(found.len() > 30, "{}", found.len());
    for (command, help) in found.iter().filter(|(command, _)| !command.is_empty()) {
        assert!(help.contains(&format!("Example: phiward {command}")), "{command}: {help}");
    }
}

#[test]
fn a_planned_command_says_so_and_exits_2() {
    for args in
        [&["drill", "--list"][..], &["review"], &["grant", "list"], &["client", "apply", "-f", "x"]]
    {
        refused(args, &["is not in this version"]);
    }
}

#[test]
fn init_never_overwrites() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().to_str().unwrap();
    assert!(phiward(&["init", at]).status.success());
    let key = fs::read(dir.path().join("keys/kek.key")).unwrap();
    fs::write(dir.path().join("phiward.toml"), "# mine").unwrap();
    let again = phiward(&["init", at]);
    assert!(again.status.success());
    assert!(stdout(&again).contains("kept"));
    assert_eq!(fs::read_to_string(dir.path().join("phiward.toml")).unwrap(), "# mine");
    assert_eq!(fs::read(dir.path().join("keys/kek.key")).unwrap(), key);
    let mode = fs::metadata(dir.path().join("keys/kek.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_configuration_error_names_file_line_and_key() {
    let (_dir, config) = installation();
    edit(&config, "[ledger]\n", "[ledger]\nfloppy = true\n");
    let line = fs::read_to_string(&config).unwrap().lines().position(|l| l.starts_with("floppy"));
    let place = format!("{config}:{}", line.unwrap() + 1);
    refused(&["serve", "-c", &config], &[&place, "floppy"]);
    refused(&["doctor", "-c", &config], &[&place, "floppy"]);
    refused(&["serve", "-c", "nothing.toml"], &["nothing.toml"]);
}

#[test]
fn key_files_that_others_can_read_are_refused_with_the_mend() {
    let (dir, config) = installation();
    for name in ["keys/kek.key", "tls/server.key"] {
        let file = dir.path().join(name);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        refused(&["serve", "-c", &config], &[name]);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    }
    fs::remove_file(dir.path().join("keys/kek.key")).unwrap();
    refused(&["serve", "-c", &config], &["keys/kek.key"]);
}

#[test]
fn a_certificate_that_does_not_match_its_key_is_refused() {
    let (dir, config) = installation();
    let other = Demo::start();
    let key = other.dir.path().join("demo/tls/server.key");
    fs::copy(key, dir.path().join("tls/server.key")).unwrap();
    refused(&["serve", "-c", &config], &["tls/server"]);
    assert!(!dir.path().join("data/phiward.db").exists(), "nothing was made");
}

#[test]
fn a_port_in_use_is_named_by_its_key() {
    let (_dir, config) = installation();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    edit(&config, "listen = \"127.0.0.1:8443\"", &format!("listen = \"{address}\""));
    refused(&["serve", "-c", &config], &["server.listen", &address, "in use"]);
}

#[test]
fn a_data_directory_in_use_is_refused() {
    let demo = Demo::start();
    let data = path(demo.dir.path(), "demo");
    refused(&["demo", "--data", &data], &["in use by another process"]);
    refused(&["serve", "-c", demo.config()], &["in use"]);
}

#[test]
fn a_demo_directory_keeps_its_port() {
    let mut demo = Demo::start();
    let data = path(demo.dir.path(), "demo");
    demo.kill();
    refused(&["demo", "--data", &data, "--listen", "127.0.0.1:1"], &["part of its issuer"]);
}

#[test]
fn an_upstream_in_plain_http_elsewhere_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = path(dir.path(), "demo");
    let args = [
        "demo",
        "--data",
        &data,
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        "http://192.0.2.1/fhir",
        "--patients",
        "a,b",
    ];
    refused(&args, &["resource.upstream", "plain http"]);
}

#[test]
fn an_administrator_adds_lists_and_disables_over_the_socket() {
    let demo = Demo::start();
    let config = demo.config();
    let added = phiward(&[
        "client",
        "add",
        "labs-app",
        "-c",
        config,
        "--name",
        "Labs",
        "--legal-name",
        "Labs Inc",
        "--purpose",
        "Trends",
        "--redirect-uri",
        "https://labs.example/cb",
        "--scope",
        "openid launch/patient patient/Observation.rs",
        "--secret",
        "--json",
    ]);
    assert!(added.status.success(), "{}", stderr(&added));
    let secret: Value = serde_json::from_str(&stdout(&added)).unwrap();
    assert!(secret["client_secret"].as_str().unwrap().starts_with("phk_"));

    let listed = phiward(&["client", "list", "-c", config, "--json"]);
    let clients: Value = serde_json::from_str(&stdout(&listed)).unwrap();
    assert!(clients.as_array().unwrap().iter().any(|c| c["client_id"] == "labs-app"));
    assert!(!stdout(&listed).contains("phk_"), "a secret is shown once");
    let shown = phiward(&["client", "show", "labs-app", "-c", config]);
    assert!(stdout(&shown).contains("patient/Observation.rs"));

    assert!(phiward(&["client", "disable", "labs-app", "-c", config]).status.success());
    let shown = phiward(&["client", "show", "labs-app", "-c", config, "--json"]);
    let client: Value = serde_json::from_str(&stdout(&shown)).unwrap();
    assert_eq!(client["disabled"], true);

    for (wrong, why) in [
        (vec!["p_like-a-person", "--scope", "openid"], "p_"),
        (vec!["wild", "--scope", "patient/*.rs"], "by name"),
        (vec!["amina-app", "--scope", "system/Patient.rs"], "private_key_jwt"),
        (vec!["demo-web", "--scope", "openid"], "exists already"),
    ] {
        let mut args = vec!["client", "add"];
        args.extend(wrong);
        args.extend(["-c", config, "--name", "x", "--legal-name", "x", "--purpose", "x"]);
        args.extend(["--redirect-uri", "https://x.example/cb"]);
        let output = phiward(&args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(stderr(&output).contains(why), "{}", stderr(&output));
    }
}

#[test]
fn a_person_is_added_with_a_password_from_standard_input_and_disabled() {
    let demo = Demo::start();
    let add = |password: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_phiward"))
            .args(["user", "add", "casey", "-c", demo.config(), "--name", "Casey"])
            .args(["--role", "patient", "--patient", "p-1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    assert_eq!(add("short\n").status.code(), Some(1));
    assert_eq!(add("").status.code(), Some(2));
    assert!(add("a long enough password\n").status.success());
    let listed = stdout(&phiward(&["user", "list", "-c", demo.config()]));
    assert!(listed.contains("casey"));
    assert!(!listed.contains("p-1"), "whose record it is stays in the database");
    assert!(phiward(&["user", "disable", "casey", "-c", demo.config()]).status.success());
    let listed = phiward(&["user", "list", "-c", demo.config(), "--json"]);
    let people: Value = serde_json::from_str(&stdout(&listed)).unwrap();
    let casey = people.as_array().unwrap().iter().find(|p| p["username"] == "casey").unwrap();
    assert_eq!(casey["disabled"], true);
}

#[test]
fn the_ledger_is_shown_and_verified_beside_a_running_server() {
    let demo = Demo::start();
    let config = demo.config();
    let shown = phiward(&["ledger", "show", "-c", config, "--last", "3", "--json"]);
    assert!(shown.status.success(), "{}", stderr(&shown));
    assert_eq!(stdout(&shown).lines().count(), 3);
    for line in stdout(&shown).lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        assert!(record["kind"].is_string() && record["time"].is_string());
    }
    let verified = phiward(&["ledger", "verify", "-c", config]);
    assert_eq!(verified.status.code(), Some(1), "UNPROVEN is no success unless allowed");
    assert_eq!(stdout(&verified).lines().last(), Some("UNPROVEN"));
    let allowed = phiward(&["ledger", "verify", "-c", config, "--allow-unproven"]);
    assert_eq!(allowed.status.code(), Some(0));

    let empty = tempfile::tempdir().unwrap();
    let at = empty.path().to_str().unwrap();
    let verified = phiward(&["ledger", "verify", "-c", config, "--dir", at, "--allow-unproven"]);
    assert_eq!(verified.status.code(), Some(1), "an empty directory is no ledger");
    assert_eq!(stdout(&verified).lines().last(), Some("FAIL"));
}

#[test]
fn the_doctor_finds_what_is_wrong() {
    let (_dir, config) = installation();
    let output = phiward(&["doctor", "-c", &config, "--json"]);
    assert_eq!(output.status.code(), Some(1), "the upstream does not answer");
    let findings: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let state = |check: &str| {
        let all = findings.as_array().unwrap();
        all.iter().find(|f| f["check"] == check).unwrap()["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state("tls"), "ok");
    assert_eq!(state("upstream"), "error");
    let demo = Demo::start();
    let output = phiward(&["doctor", "-c", demo.config()]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
}

#[test]
fn the_ready_line_is_what_interfaces_promise() {
    let demo = Demo::start();
    for key in [
        "issuer",
        "fhir_base",
        "ca_file",
        "admin_api",
        "admin_token_file",
        "config",
        "ledger",
        "internal",
    ] {
        assert!(demo.ready[key].is_string(), "{key}");
    }
    assert_eq!(demo.ready["pid"], demo.pid());
    let names: Vec<_> =
        demo.ready["users"].as_array().unwrap().iter().map(|u| u["username"].clone()).collect();
    assert_eq!(names, ["amina", "brook", "drsolis", "officer"]);
    for file in ["ca_file", "admin_token_file", "config"] {
        assert!(Path::new(demo.text(file)).is_file(), "{file}");
    }
}
