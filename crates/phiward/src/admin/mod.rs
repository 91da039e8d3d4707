//! Administration on the server's own host: one JSON line in, one out, over a socket in the data
//! directory that only its owner can open. The rules are the registrar's; here is only the form.

mod client;
mod command;
mod server;
mod user;

pub(crate) use client::run as client;
pub(crate) use command::{Answer, Command};
pub(crate) use server::Socket;
pub(crate) use user::run as user;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

use crate::config::Config;
use crate::failure::Failure;

/// The socket's file name within the data directory.
pub(crate) const SOCKET: &str = "admin.sock";

/// Sends a command to the running server of this configuration.
pub(crate) fn send(config_path: &Path, command: &Command) -> Result<Value, Failure> {
    let config = Config::read(config_path)?;
    let socket = config.data.join(SOCKET);
    let absent = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => {
            Failure::usage(format!(
                "no server runs with {}; start it with: phiward serve -c {}",
                config_path.display(),
                config_path.display()
            ))
        }
        _ => Failure::usage(format!("{}: {source}", socket.display())),
    };
    let mut stream = UnixStream::connect(&socket).map_err(absent)?;
    let broken = |_| Failure::usage("the server closed the connection; see its log".to_owned());
    let mut line = serde_json::to_vec(command).map_err(|_| Failure::internal())?;
    line.push(b'\n');
    stream.write_all(&line).map_err(broken)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).map_err(broken)?;
    match serde_json::from_str(&answer).map_err(|_| Failure::internal())? {
        Answer::Done(value) => Ok(value),
        Answer::Refused(why) => Err(Failure::check(why)),
    }
}
