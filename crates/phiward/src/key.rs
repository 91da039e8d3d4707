//! `phiward key`: the keys that seal others. `init` makes one in a token, `rotate` goes over to a
//! new one or from a file to a token, with the server running.

pub(crate) mod rotate;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::AdminArg;
use crate::config::Config;
use crate::failure::Failure;
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
