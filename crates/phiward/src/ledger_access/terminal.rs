//! Passwords for a command: typed on the terminal without being shown, or from a file that only its
//! owner can read; never an argument, which other processes can see.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::failure::Failure;

/// The longest password, in bytes; what is longer is refused before it is hashed, too.
const MAX_BYTES: u64 = 1_024;

/// The password in a file: its first line.
pub(super) fn password_file(path: &Path) -> Result<String, Failure> {
    let failed =
        |what: &dyn std::fmt::Display| Failure::usage(format!("{}: {what}", path.display()));
    let file = File::open(path).map_err(|error| failed(&error))?;
    let meta = file.metadata().map_err(|error| failed(&error))?;
    if !meta.is_file() {
        return Err(failed(&"not a regular file"));
    }
    if meta.permissions().mode() & 0o077 != 0 {
        return Err(failed(&format!("open to others; run: chmod 600 {}", path.display())));
    }
    let mut text = String::new();
    file.take(MAX_BYTES + 2)
        .read_to_string(&mut text)
        .map_err(|_| failed(&"does not hold a password"))?;
    let password = text.lines().next().unwrap_or_default();
    if password.is_empty() {
        return Err(failed(&"does not hold a password"));
    }
    Ok(password.to_owned())
}

/// Asks on the terminal, wherever standard input and output lead.
pub(super) fn ask(prompt: &str) -> Result<String, Failure> {
    let none = |_| Failure::usage("no terminal to ask for a password on; use --password-file FILE");
    let terminal = File::options().read(true).write(true).open("/dev/tty").map_err(none)?;
    let before = tcgetattr(&terminal).map_err(|error| none(error.into()))?;
    let mut silent = before.clone();
    // Signals as bytes, too: Ctrl-C must not leave a terminal that shows nothing.
    silent.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
    let restored = Restored { terminal, before };
    tcsetattr(&restored.terminal, OptionalActions::Flush, &silent)
        .map_err(|error| none(error.into()))?;
    let mut terminal = &restored.terminal;
    terminal.write_all(prompt.as_bytes()).map_err(none)?;
    let typed = line(terminal);
    let _shown = terminal.write_all(b"\n");
    typed
}

/// Gives the terminal back as it was.
struct Restored {
    terminal: File,
    before: Termios,
}

impl Drop for Restored {
    fn drop(&mut self) {
        let _given = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

/// What is typed up to Enter.
fn line(input: impl Read) -> Result<String, Failure> {
    let cancelled = || Failure::usage("no password was given");
    let mut typed = Vec::new();
    for byte in BufReader::new(input).bytes() {
        match byte.map_err(|_| cancelled())? {
            b'\r' | b'\n' => break,
            // Ctrl-C, Ctrl-D, Ctrl-\.
            3 | 4 | 28 => return Err(cancelled()),
            // Backspace takes a whole character.
            8 | 127 => while typed.pop().is_some_and(|byte: u8| byte & 0xC0 == 0x80) {},
            // Ctrl-U.
            21 => typed.clear(),
            byte => typed.push(byte),
        }
        if typed.len() as u64 > MAX_BYTES {
            return Err(Failure::usage("the password is too long"));
        }
    }
    let typed = String::from_utf8(typed).map_err(|_| cancelled())?;
    if typed.is_empty() { Err(cancelled()) } else { Ok(typed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_edited_as_on_a_line_and_can_be_cancelled() {
        assert_eq!(line(&b"hunter2\rrest"[..]).unwrap(), "hunter2");
        assert_eq!(line("h\u{e9}\u{7f}unter3\u{8}2\n".as_bytes()).unwrap(), "hunter2");
        assert_eq!(line(&b"wrong\x15right\n"[..]).unwrap(), "right");
        for none in [&b""[..], b"\n", b"x\x03\n", b"x\x04", b"\xff\n"] {
            assert!(line(none).is_err(), "{none:?}");
        }
        assert!(line(&[b'x'; 2_000][..]).is_err());
    }

    #[test]
    fn a_password_file_is_its_owners_only_and_not_empty() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, "a secret\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(password_file(&path).unwrap_err().message().contains("chmod 600"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(password_file(&path).unwrap(), "a secret");
        std::fs::write(&path, "\n").unwrap();
        assert!(password_file(&path).is_err());
        assert!(password_file(dir.path()).is_err());
        assert!(password_file(&dir.path().join("none")).is_err());
    }
}
