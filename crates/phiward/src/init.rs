//! `phiward init`: a commented configuration and the key-encryption key. Nothing is overwritten.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use keys::SystemRandom;
use keys::custody::FileKek;

use crate::cli::InitArgs;
use crate::config::Template;
use crate::failure::Failure;
use crate::output;

/// Runs the command.
pub(crate) fn run(args: &InitArgs) -> Result<(), Failure> {
    if args.schema {
        return output::json(&crate::config::schema());
    }
    let dir = &args.dir;
    let failed =
        |path: &Path, error: &io::Error| Failure::usage(format!("{}: {error}", path.display()));
    for part in ["", "tls", "keys", "data"] {
        let path = dir.join(part);
        private_dir(&path).map_err(|error| failed(&path, &error))?;
    }
    let template = Template {
        issuer: "https://localhost:8443",
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8443)),
        internal: SocketAddr::from((Ipv4Addr::LOCALHOST, 8444)),
        upstream: "http://127.0.0.1:8080/fhir",
        password_grant: "off",
    };
    let config = dir.join("phiward.toml");
    let new = OpenOptions::new().write(true).create_new(true).open(&config);
    match new {
        Ok(mut file) => {
            file.write_all(template.render().as_bytes())
                .map_err(|error| failed(&config, &error))?;
            output::line(&format!("wrote  {}", config.display()));
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            output::line(&format!("kept   {} (it exists)", config.display()));
        }
        Err(error) => return Err(failed(&config, &error)),
    }
    let kek = dir.join("keys/kek.key");
    if kek.exists() {
        output::line(&format!("kept   {} (it exists)", kek.display()));
    } else {
        make_kek(&kek)?;
        output::line(&format!("wrote  {} (0600; keep a copy in a safe)", kek.display()));
    }
    output::line("");
    output::line("Next:");
    output::line(&format!(
        "  1. put the server's certificate and key at {}/tls/server.pem and server.key",
        dir.display()
    ));
    output::line(&format!("  2. set issuer and upstream in {}", config.display()));
    output::line(&format!("  3. phiward doctor -c {}", config.display()));
    output::line(&format!("  4. phiward serve -c {}", config.display()));
    Ok(())
}

/// A directory that only its owner enters; one that exists is left as it is.
pub(crate) fn private_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// A fresh key-encryption key.
pub(crate) fn make_kek(path: &Path) -> Result<(), Failure> {
    FileKek::create(path, Arc::new(SystemRandom))
        .map(|_| ())
        .map_err(|error| Failure::usage(error.to_string()))
}
