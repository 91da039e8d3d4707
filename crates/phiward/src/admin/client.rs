//! `phiward client …`

use serde_json::Value;

use super::{Command, send};
use crate::admin::command::ClientAdd;
use crate::cli::ClientCommand;
use crate::failure::Failure;
use crate::output;

/// Runs one of the commands.
pub(crate) fn run(command: ClientCommand) -> Result<(), Failure> {
    match command {
        ClientCommand::Add(args) => {
            let jwks = match &args.jwks {
                Some(path) => Some(
                    std::fs::read_to_string(path)
                        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?,
                ),
                None => None,
            };
            let add = ClientAdd {
                id: args.id,
                name: args.name,
                legal_name: args.legal_name,
                purpose: args.purpose,
                redirect_uris: args.redirect_uri,
                scope: args.scope,
                secret: args.secret,
                jwks,
                backend: args.backend,
                receipts: args.receipts,
            };
            let added = send(&args.admin.config.config, &Command::ClientAdd(add))?;
            if args.admin.json {
                return output::json(&added);
            }
            output::line(&format!("added {}", text(&added, "client_id")));
            if let Some(secret) = added.get("client_secret").and_then(Value::as_str) {
                output::line(&format!("client_secret {secret}"));
                output::note("this secret is shown once; keep it where the app reads its secrets");
            }
            Ok(())
        }
        ClientCommand::List { admin } => {
            let clients = send(&admin.config.config, &Command::ClientList)?;
            if admin.json {
                return output::json(&clients);
            }
            let rows = clients.as_array().into_iter().flatten().map(|client| {
                let state = if client.get("disabled") == Some(&Value::Bool(true)) {
                    "disabled"
                } else {
                    "active"
                };
                vec![
                    text(client, "client_id"),
                    text(client, "name"),
                    text(client, "authentication"),
                    list(client, "grant_types", ", "),
                    state.to_owned(),
                ]
            });
            output::table(
                &["client_id", "name", "authentication", "grants", "state"],
                rows.collect(),
            );
            Ok(())
        }
        ClientCommand::Show { admin, id } => {
            let client = send(&admin.config.config, &Command::ClientShow { id })?;
            if admin.json {
                return output::json(&client);
            }
            for key in ["client_id", "name", "legal_name", "purpose", "authentication", "wildcard"]
            {
                output::line(&format!("{key:<15} {}", text(&client, key)));
            }
            output::line(&format!("{:<15} {}", "grants", list(&client, "grant_types", ", ")));
            output::line(&format!(
                "{:<15} {}",
                "redirect_uris",
                list(&client, "redirect_uris", " ")
            ));
            let receipts = client.get("receipts") == Some(&Value::Bool(true));
            output::line(&format!("{:<15} {}", "receipts", if receipts { "yes" } else { "no" }));
            output::line("may ask for");
            for scope in client.get("scopes").and_then(Value::as_array).into_iter().flatten() {
                output::line(&format!("  {}", scope.as_str().unwrap_or_default()));
            }
            Ok(())
        }
        ClientCommand::Disable { admin, id } => {
            let done = send(&admin.config.config, &Command::ClientDisable { id })?;
            if admin.json {
                return output::json(&done);
            }
            output::line(&format!("disabled {}", text(&done, "client_id")));
            Ok(())
        }
        ClientCommand::Apply(_) => Err(Failure::not_in_this_version("client apply")),
    }
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn list(value: &Value, key: &str, separator: &str) -> String {
    let items = value.get(key).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).collect::<Vec<_>>().join(separator)
}
