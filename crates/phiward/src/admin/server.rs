//! The server's end of the administration socket.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::{Answer, Command, Rooms, SOCKET};

/// How long a command may take to arrive, and one that reads no ledger to be done.
const PATIENCE: Duration = Duration::from_secs(30);
/// A pause after a connection could not be taken.
const BREATH: Duration = Duration::from_millis(100);
/// Longest command read, in bytes.
const MAX_LINE: u64 = 64 * 1024;

/// The socket cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}", path = path.display())]
pub(crate) struct SocketError {
    path: PathBuf,
    source: std::io::Error,
}

/// An open administration socket; its file goes when it is dropped.
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.path);
    }
}

impl Socket {
    /// Opens the socket in the data directory, whose lock the caller holds: what is left there is
    /// a dead server's.
    pub(crate) fn open(data: &Path) -> Result<Self, SocketError> {
        let path = data.join(SOCKET);
        let failed = |source| SocketError { path: path.clone(), source };
        if path.exists() {
            std::fs::remove_file(&path).map_err(failed)?;
        }
        let listener = UnixListener::bind(&path).map_err(failed)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { listener, path })
    }

    /// Answers commands until dropped.
    pub(crate) async fn serve(self, rooms: Rooms) {
        let own = rustix::process::geteuid().as_raw();
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                // Out of file descriptors, for one: strangers must not be able to end administration.
                tokio::time::sleep(BREATH).await;
                continue;
            };
            // The file's mode says the same; a mode can be changed, a peer's id cannot.
            let peer = stream.peer_cred().map(|peer| peer.uid());
            let Ok(uid) = peer else { continue };
            if uid != own && uid != 0 {
                continue;
            }
            let rooms = rooms.clone();
            tokio::spawn(async move {
                let _gone = answer(stream, &rooms, uid).await;
            });
        }
    }
}

async fn answer(stream: UnixStream, rooms: &Rooms, uid: u32) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut read = BufReader::new(read.take(MAX_LINE));
    timeout(PATIENCE, read.read_line(&mut line)).await??;
    let actor = format!("local uid {uid}");
    let answer = match serde_json::from_str::<Command>(&line) {
        // Reads as much of the ledger as it must; half of it would have to be done again.
        Ok(command @ Command::Work(_)) => command.run(rooms, &actor).await,
        Ok(command) => timeout(PATIENCE, command.run(rooms, &actor)).await?,
        Err(_) => Answer::Refused("not a command of this version".to_owned()),
    };
    let mut bytes = serde_json::to_vec(&answer)?;
    bytes.push(b'\n');
    write.write_all(&bytes).await
}
