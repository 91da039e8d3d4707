//! Administration on the server's own host: one JSON line in, one out, over a socket in the data
//! directory that only its owner can open. The rules are the registrar's; here is only the form.

mod client;
mod command;
mod reading;
mod retention;
mod server;
mod user;
mod work;

pub(crate) use client::run as client;
pub(crate) use command::{Answer, Command};
pub(crate) use reading::{Credentials, Desk, ReadingRecord};
pub(crate) use retention::{NewHold, holds_of};
pub(crate) use server::Socket;
pub(crate) use user::run as user;
pub(crate) use work::{Shop, Work};

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use authority::Authority;
use keys::custody::Switch;
use ledger::{Ledger, Trouble};
use serde_json::Value;

use crate::config::Config;
use crate::failure::Failure;

/// The socket's file name within the data directory.
pub(crate) const SOCKET: &str = "admin.sock";

/// What commands are carried out with.
#[derive(Clone)]
pub(crate) struct Rooms {
    pub(crate) config: Arc<Config>,
    pub(crate) authority: Authority,
    pub(crate) ledger: Ledger,
    pub(crate) switch: Arc<Switch>,
}

/// Sends a command to the running server of this configuration.
pub(crate) fn send(config_path: &Path, command: &Command) -> Result<Value, Failure> {
    let config = Config::read(config_path)?;
    let answer = exchange(&config, command)?.ok_or_else(|| {
        Failure::usage(format!(
            "no server runs with {}; start it with: phiward serve -c {}",
            config_path.display(),
            config_path.display()
        ))
    })?;
    told(answer)
}

/// Asks the running server of this configuration; `None` if none runs.
pub(crate) fn exchange(config: &Config, command: &Command) -> Result<Option<Answer>, Failure> {
    let socket = config.data.join(SOCKET);
    let mut stream = match UnixStream::connect(&socket) {
        Ok(stream) => stream,
        Err(error) => match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => {
                return Ok(None);
            }
            _ => return Err(Failure::usage(format!("{}: {error}", socket.display()))),
        },
    };
    let broken = |_| Failure::usage("the server closed the connection; see its log".to_owned());
    let mut line = serde_json::to_vec(command).map_err(|_| Failure::internal())?;
    line.push(b'\n');
    stream.write_all(&line).map_err(broken)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).map_err(broken)?;
    if answer.is_empty() {
        return Err(Failure::usage("the server closed the connection; see its log"));
    }
    serde_json::from_str(&answer).map(Some).map_err(|_| Failure::internal())
}

/// An answer as the command's outcome.
pub(crate) fn told(answer: Answer) -> Result<Value, Failure> {
    match answer {
        Answer::Done(value) => Ok(value),
        Answer::Refused(why) => Err(Failure::check(why)),
        Answer::Trouble { id, message } => {
            let trouble = Trouble::ALL.iter().find(|trouble| trouble.id() == id);
            Err(trouble.map_or_else(Failure::internal, |t| Failure::trouble(*t, message)))
        }
    }
}
