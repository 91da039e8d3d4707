//! `phiward user …`

use std::io::{BufRead, IsTerminal};

use serde_json::Value;

use super::{Command, send};
use crate::admin::command::UserAdd;
use crate::cli::UserCommand;
use crate::failure::Failure;
use crate::output;

/// Runs one of the commands.
pub(crate) fn run(command: UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Add(args) => {
            let acts_for: Result<Vec<_>, _> = args
                .acts_for
                .iter()
                .map(|pair| {
                    pair.split_once('=')
                        .map(|(id, name)| (id.to_owned(), name.to_owned()))
                        .ok_or_else(|| Failure::usage("--acts-for takes ID=NAME".to_owned()))
                })
                .collect();
            let add = UserAdd {
                username: args.username,
                name: args.name,
                role: args.role,
                patient: args.patient,
                acts_for: acts_for?,
                fhir_user: args.fhir_user,
                password: read_password()?,
            };
            let added = send(&args.admin.config.config, &Command::UserAdd(add))?;
            if args.admin.json {
                return output::json(&added);
            }
            output::line(&format!("added {}", text(&added, "username")));
            Ok(())
        }
        UserCommand::List { admin } => {
            let people = send(&admin.config.config, &Command::UserList)?;
            if admin.json {
                return output::json(&people);
            }
            let rows = people.as_array().into_iter().flatten().map(|person| {
                let state = if person.get("disabled") == Some(&Value::Bool(true)) {
                    "disabled"
                } else {
                    "active"
                };
                vec![
                    text(person, "username"),
                    text(person, "role"),
                    text(person, "sub"),
                    state.to_owned(),
                ]
            });
            output::table(&["username", "role", "sub", "state"], rows.collect());
            Ok(())
        }
        UserCommand::Disable { admin, username } => {
            let done = send(&admin.config.config, &Command::UserDisable { username })?;
            if admin.json {
                return output::json(&done);
            }
            output::line(&format!("disabled {}", text(&done, "username")));
            Ok(())
        }
    }
}

/// One line from standard input: never an argument, which other processes can see.
fn read_password() -> Result<String, Failure> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        output::note("type the password and press Enter (it is shown; better: < file)");
    }
    let mut line = String::new();
    stdin
        .lock()
        .read_line(&mut line)
        .map_err(|error| Failure::usage(format!("standard input: {error}")))?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Failure::usage("no password on standard input".to_owned()));
    }
    Ok(password.to_owned())
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}
