//! The `[keys]` section: who keeps the key-encryption key, and where the keys are that it wraps.

use std::path::{Path, PathBuf};

use domain::Secret;
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::file::FileRef;
use super::{ConfigError, variable};

/// Who keeps the keys.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Keys {
    /// Who wraps: "file", or "pkcs11" for a hardware module. What the other wrapped still opens while
    /// it stands here, too.
    #[schemars(with = "String")]
    provider: Spanned<String>,
    /// The key-encryption key in a file.
    kek: Option<FileRef>,
    /// The key-encryption key in a token.
    #[schemars(with = "Option<Token>")]
    pkcs11: Option<Spanned<Token>>,
    /// Directory of the keys that it wraps.
    dir: PathBuf,
}

/// A key in a hardware module.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Token {
    /// The module's PKCS #11 library.
    module: PathBuf,
    /// The token's label.
    token: String,
    /// The key's label.
    key: String,
    /// The user PIN: { file = "…" } or { env = "…" }.
    pin: Pin,
}

/// Where a PIN is.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
enum Pin {
    /// In a file that only its owner can read.
    File {
        /// The file.
        file: PathBuf,
    },
    /// In an environment variable.
    Env {
        /// Its name.
        env: String,
    },
}

/// The section, checked.
#[derive(Debug, Clone)]
pub(crate) struct KeysConfig {
    /// Whether the token wraps; else the file does.
    pub(crate) in_token: bool,
    pub(crate) kek: Option<PathBuf>,
    pub(crate) token: Option<TokenConfig>,
    pub(crate) dir: PathBuf,
}

/// Where a token's key is, and its PIN.
#[derive(Debug, Clone)]
pub(crate) struct TokenConfig {
    pub(crate) module: PathBuf,
    pub(crate) token: String,
    pub(crate) key: String,
    pub(crate) pin: PinSource,
}

/// Where the PIN comes from; it is read when it is used.
#[derive(Debug, Clone)]
pub(crate) enum PinSource {
    File(PathBuf),
    Env(Secret<String>),
}

impl Keys {
    /// Checks the section; `under` makes a path relative to the file absolute.
    pub(super) fn check(
        self,
        under: &dyn Fn(&Path) -> PathBuf,
        wrong: super::ledger::Wrong<'_>,
    ) -> Result<KeysConfig, ConfigError> {
        let span = self.provider.span();
        let in_token = match self.provider.get_ref().as_str() {
            "file" => false,
            "pkcs11" => true,
            _ => return Err(wrong("keys.provider", span, "\"file\" or \"pkcs11\"")),
        };
        if in_token && self.pkcs11.is_none() {
            return Err(wrong("keys.provider", span, "\"pkcs11\" needs a section [keys.pkcs11]"));
        }
        if !in_token && self.kek.is_none() {
            let what = "\"file\" needs kek = { file = \"…\" }";
            return Err(wrong("keys.provider", span, what));
        }
        let token = self.pkcs11.map(|token| {
            let span = token.span();
            let token = token.into_inner();
            let pin = match token.pin {
                Pin::File { file } => PinSource::File(under(&file)),
                Pin::Env { env } => {
                    let what = "that variable is not set";
                    let value = variable(&env);
                    PinSource::Env(Secret::new(
                        value.ok_or_else(|| wrong("keys.pkcs11.pin", span, what))?,
                    ))
                }
            };
            let module = under(&token.module);
            Ok(TokenConfig { module, token: token.token, key: token.key, pin })
        });
        Ok(KeysConfig {
            in_token,
            kek: self.kek.map(|kek| under(&kek.file)),
            token: token.transpose()?,
            dir: under(&self.dir),
        })
    }
}
