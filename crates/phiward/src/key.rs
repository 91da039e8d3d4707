//! `phiward key`: the keys that seal others. `init` makes one in a token, `rotate` goes over to a
//! new one or from a file to a token, with the server running.

pub(crate) mod rotate;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::admin::{Command, Work, exchange, told};
use crate::cli::AdminArg;
use crate::config::Config;
use crate::failure::Failure;
use crate::keyring::Keyring;
use crate::ledger_access::carry_out;
use crate::{kek, output};

/// What it takes.
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make the key-encryption key in the token of [keys.pkcs11].
    #[command(after_help = "Example: phiward key init -c /etc/phiward/phiward.toml")]
    Init {
        #[command(flatten)]
        admin: AdminArg,
    },
    /// Go over to a new key-encryption key, or from a file to a token; the server goes on.
    #[command(after_help = "Example: phiward key rotate -c /etc/phiward/phiward.toml")]
    Rotate {
        #[command(flatten)]
        admin: AdminArg,
    },
}

/// Runs the command.
pub(crate) fn run(args: KeyArgs) -> Result<(), Failure> {
    match args.command {
        KeyCommand::Init { admin } => init(&admin),
        KeyCommand::Rotate { admin } => rotate_now(&admin),
    }
}

fn init(admin: &AdminArg) -> Result<(), Failure> {
    let config = Config::read(&admin.config.config)?;
    let Some(token) = &config.keys.token else {
        let what = "has no section [keys.pkcs11]; without a token, `phiward init` makes the key";
        return Err(Failure::usage(format!("{}: {what}", config.path.display())));
    };
    kek::create_in_token(token)?;
    if admin.json {
        return output::json(&json!({ "token": token.token, "key": token.key }));
    }
    output::line(&format!("made   key `{}` in token `{}`", token.key, token.token));
    if !config.keys.in_token {
        output::line("next:  set keys.provider = \"pkcs11\" and run: phiward key rotate");
    } else if config.keys.kek.is_some() {
        output::line("next:  phiward key rotate  (moves what the file wrapped to the token)");
    }
    Ok(())
}

fn rotate_now(admin: &AdminArg) -> Result<(), Failure> {
    let config = Config::read(&admin.config.config)?;
    let ask = |work| carry_out(&config, None, &Command::Work(work)).map(|_| ());
    // Fails before anything is changed, if the keys do not open now.
    Keyring::open_existing(&config)?;
    let rotated = rotate::rotate(
        &config,
        &mut rotate::Hands {
            reload: &|| match exchange(&config, &Command::Work(Work::CustodyReload))? {
                Some(answer) => told(answer).map(|_| ()),
                None => Ok(()),
            },
            record: &|rotated| ask(Work::KeyRotated { keys: rotated.keys }),
            step: &mut |_| Ok(()),
        },
    )?;
    let retired = rotated.retired.as_ref().map(|path| path.display().to_string());
    if admin.json {
        return output::json(&json!({
            "keys": rotated.keys, "rewrapped": rotated.rewrapped, "retired": retired,
        }));
    }
    output::line(&format!(
        "wrapped {} of {} keys anew; all are under the new key-encryption key",
        rotated.rewrapped, rotated.keys
    ));
    if let Some(retired) = retired {
        output::line(&format!(
            "the old one is {retired}: older backups open with it only; move it to a safe, or \
             destroy it with them"
        ));
    }
    Ok(())
}
