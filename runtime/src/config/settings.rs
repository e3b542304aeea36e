//! Settings as they are written: in a TOML file, or the environment.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use botzilla_wire::{Keyring, Limits};
use serde::Deserialize;

use super::Security;
use super::{
    private::PrivateFile,
    secrets::{SecretSource, SecretTexts, read_file},
};
use crate::ConfigError;

/// The file that `Node::from_env` reads if it is there and `BOTZILLA_CONFIG` names no other.
const DEFAULT_FILE: &str = "botzilla.toml";

const ENV_CONFIG: &str = "BOTZILLA_CONFIG";
pub(super) const ENV_REGISTRY: &str = "BOTZILLA_REGISTRY";
const ENV_SECRET: &str = "BOTZILLA_SECRET";
const ENV_SECRET_FILE: &str = "BOTZILLA_SECRET_FILE";
const ENV_LISTEN: &str = "BOTZILLA_LISTEN";
const ENV_ADVERTISE: &str = "BOTZILLA_ADVERTISE";
const ENV_POLICY: &str = "BOTZILLA_POLICY";
const ENV_SECURITY: &str = "BOTZILLA_SECURITY";

/// The settings as written in a file or the environment; all optional.
///
/// ```toml
/// registry = "192.168.1.10:6985"
/// secret_file = "/etc/botzilla/secret"   # or: secret = "bz1:..", or a list of several
/// security = "noise"                     # encrypted; "hmac": authenticated alone
/// listen = "[::]:7001"
/// advertise = ["robot.local:7001"]
/// policy = "/etc/botzilla/policy.toml"
/// ask_time_ms = 5000
/// registry_time_ms = 30000
///
/// [limits]
/// payload = 16777216
/// messages_per_target = 256
/// ```
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Settings {
    /// Where the registry is, `host:port`.
    pub registry: Option<String>,
    /// The secret itself, or several: the first is the preferred one, all are accepted. A file with it
    /// must be closed to other users of the machine.
    pub secret: Option<SecretTexts>,
    /// A file with a secret on each line, the preferred one first, closed to other users of the machine.
    pub secret_file: Option<PathBuf>,
    /// How connections are protected: `"hmac"` or `"noise"`; otherwise as others require.
    pub security: Option<Security>,
    /// The address to listen on.
    pub listen: Option<String>,
    /// The addresses that others are told.
    pub advertise: Option<Vec<String>>,
    /// A file that says who may do what, by key id.
    pub policy: Option<PathBuf>,
    /// Milliseconds that an ask or tell has by default.
    pub ask_time_ms: Option<u64>,
    /// Milliseconds that the registry is tried at start.
    pub registry_time_ms: Option<u64>,
    /// Bounds.
    pub limits: Option<LimitSettings>,
}

/// The bounds that can be set; see [`Limits`] for units and defaults.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct LimitSettings {
    /// Bytes of one message.
    pub payload: Option<usize>,
    /// Open messages for one component, of one connection or of this node.
    pub messages_per_target: Option<u32>,
    /// The same for urgent messages.
    pub urgent_per_target: Option<u32>,
    /// Open messages of one connection.
    pub messages_per_connection: Option<u32>,
    /// Their bytes.
    pub bytes_per_connection: Option<u64>,
    /// Reply bytes that wait to be written on one connection.
    pub reply_bytes: Option<u64>,
    /// Bytes of the text of one failure.
    pub detail: Option<usize>,
    /// Bytes of a panic's text that go to the caller.
    pub panic_text: Option<usize>,
    /// How deep a payload may nest.
    pub nesting: Option<usize>,
    /// Bytes in memory of one payload's elements.
    pub decoded: Option<usize>,
    /// Names that a nested ask may carry, 16 at most.
    pub path: Option<usize>,
    /// Route numbers that one peer may have in use.
    pub routes: Option<u32>,
    /// Bytes of one item of a stream.
    pub stream_payload: Option<usize>,
    /// Subscriptions that one node may have at another.
    pub subscriptions: Option<u32>,
    /// Items that may wait for one subscriber, whatever depth it asks for.
    pub stream_depth: Option<u32>,
    /// Bytes of items that may wait for one subscriber.
    pub stream_queue: Option<usize>,
    /// The same for all subscribers of one node together.
    pub stream_queues: Option<usize>,
    /// Connections whose handshake isn't done.
    pub unproven: Option<usize>,
    /// The same from one address.
    pub unproven_per_address: Option<usize>,
    /// Milliseconds after which an unused connection ends.
    pub idle_after_ms: Option<u64>,
}

impl LimitSettings {
    pub(super) fn apply(self, limits: &mut Limits) -> Result<(), ConfigError> {
        fn set<T: PartialEq + From<u8>>(
            limit: &mut T,
            value: Option<T>,
            name: &str,
        ) -> Result<(), ConfigError> {
            if let Some(value) = value {
                if value == T::from(0) {
                    return Err(ConfigError::new(
                        format!("limits.{name}"),
                        "is 0, which would let nothing through; give at least 1",
                    ));
                }
                *limit = value;
            }
            Ok(())
        }
        set(&mut limits.payload, self.payload, "payload")?;
        set(
            &mut limits.messages_per_target,
            self.messages_per_target,
            "messages_per_target",
        )?;
        set(
            &mut limits.urgent_per_target,
            self.urgent_per_target,
            "urgent_per_target",
        )?;
        set(
            &mut limits.messages_per_connection,
            self.messages_per_connection,
            "messages_per_connection",
        )?;
        set(
            &mut limits.bytes_per_connection,
            self.bytes_per_connection,
            "bytes_per_connection",
        )?;
        set(&mut limits.reply_bytes, self.reply_bytes, "reply_bytes")?;
        set(&mut limits.detail, self.detail, "detail")?;
        set(&mut limits.panic_text, self.panic_text, "panic_text")?;
        set(&mut limits.nesting, self.nesting, "nesting")?;
        set(&mut limits.decoded, self.decoded, "decoded")?;
        set(&mut limits.path, self.path, "path")?;
        set(&mut limits.routes, self.routes, "routes")?;
        set(
            &mut limits.stream_payload,
            self.stream_payload,
            "stream_payload",
        )?;
        set(
            &mut limits.subscriptions,
            self.subscriptions,
            "subscriptions",
        )?;
        set(&mut limits.stream_depth, self.stream_depth, "stream_depth")?;
        set(&mut limits.stream_queue, self.stream_queue, "stream_queue")?;
        set(
            &mut limits.stream_queues,
            self.stream_queues,
            "stream_queues",
        )?;
        set(&mut limits.unproven, self.unproven, "unproven")?;
        set(
            &mut limits.unproven_per_address,
            self.unproven_per_address,
            "unproven_per_address",
        )?;
        if let Some(ms) = self.idle_after_ms {
            limits.idle_after = positive("limits.idle_after_ms", ms)?;
        }
        Ok(())
    }
}

impl Settings {
    /// From the environment, completed by the file.
    ///
    /// # Errors
    ///
    /// The file can't be read, isn't TOML, or has a key that doesn't exist.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_env_and(None)
    }

    /// From the environment, completed by this file instead of the one that it names.
    ///
    /// # Errors
    ///
    /// As for [`Settings::from_env`].
    pub fn from_env_and(file: Option<&Path>) -> Result<Self, ConfigError> {
        let mut settings = match (file, variable(ENV_CONFIG)?) {
            (Some(path), _) => Self::from_file(path)?,
            (None, Some(path)) => Self::from_file(Path::new(&path))?,
            (None, None) if Path::new(DEFAULT_FILE).exists() => {
                Self::from_file(Path::new(DEFAULT_FILE))?
            }
            (None, None) => Self::default(),
        };
        if let Some(registry) = variable(ENV_REGISTRY)? {
            settings.registry = Some(registry);
        }
        if let Some(file) = variable(ENV_SECRET_FILE)? {
            (settings.secret, settings.secret_file) = (None, Some(file.into()));
        }
        if let Some(secret) = variable(ENV_SECRET)? {
            let secret = zeroize::Zeroizing::new(secret);
            let secrets = SecretTexts::separated(&secret);
            (settings.secret, settings.secret_file) = (Some(secrets), None);
        }
        if let Some(security) = variable(ENV_SECURITY)? {
            let security = security.parse();
            settings.security =
                Some(security.map_err(|reason: String| ConfigError::new(ENV_SECURITY, reason))?);
        }
        if let Some(listen) = variable(ENV_LISTEN)? {
            settings.listen = Some(listen);
        }
        if let Some(advertise) = variable(ENV_ADVERTISE)? {
            settings.advertise = Some(
                advertise
                    .split(',')
                    .map(|one| one.trim().to_owned())
                    .collect(),
            );
        }
        if let Some(policy) = variable(ENV_POLICY)? {
            settings.policy = Some(policy.into());
        }
        Ok(settings)
    }

    /// From a TOML file.
    ///
    /// # Errors
    ///
    /// It can't be read, isn't TOML, or has a key that doesn't exist; or there is a secret in it, and
    /// other users of the machine may read it.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        const WHAT: &str = "the configuration file";
        let file = PrivateFile::read(WHAT, path)?;
        let mut settings = Self::parse(&file.text, path)?;
        if let Some(secrets) = &mut settings.secret {
            file.check(WHAT, path)?;
            secrets.are_in(path);
        }
        Ok(settings)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let line = error
                .span()
                .map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            let place = format!("{}:{line}", path.display());
            ConfigError::new(place, error.message().replace('\n', " "))
        })
    }

    /// The secrets, wherever they are: of the settings themselves, or of their file.
    ///
    /// # Errors
    ///
    /// There is none, one of them is none, or their file can't be read or is open to others.
    pub fn keyring(&self) -> Result<Keyring, ConfigError> {
        self.secrets().map(|(keyring, _)| keyring)
    }

    /// The secrets, wherever they are, and where to read them again.
    ///
    /// # Errors
    ///
    /// There is none, one of them is none, or their file can't be read or is open to others.
    pub(crate) fn secrets(&self) -> Result<(Keyring, SecretSource), ConfigError> {
        match (&self.secret, &self.secret_file) {
            (Some(secrets), _) => Ok((secrets.keyring("secret")?, secrets.source())),
            (None, Some(path)) => Ok((read_file(path)?, SecretSource::File(path.clone()))),
            (None, None) => Err(ConfigError::new(
                ENV_SECRET,
                "not set; every node and the registry share one secret: `botzilla keygen` makes it",
            )),
        }
    }
}

impl Settings {
    /// The secrets of a file that had some.
    pub(super) fn secret_in(&self, path: &Path) -> Result<Keyring, ConfigError> {
        match &self.secret {
            Some(secrets) => secrets.keyring(&format!("secret in {}", path.display())),
            None => Err(ConfigError::new(
                format!("the configuration file {}", path.display()),
                "has no `secret` any more; put it back, or restart the program with another",
            )),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("registry", &self.registry)
            .field("secret", &self.secret)
            .field("secret_file", &self.secret_file)
            .field("security", &self.security)
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

fn variable(name: &str) -> Result<Option<String>, ConfigError> {
    match std::env::var(name) {
        Ok(value) if value.trim().is_empty() => Err(ConfigError::new(
            name,
            "is set but empty; give it a value or unset it",
        )),
        Ok(value) => Ok(Some(value)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(error) => Err(ConfigError::new(name, error)),
    }
}

pub(super) fn positive(name: &str, ms: u64) -> Result<Duration, ConfigError> {
    if ms == 0 {
        return Err(ConfigError::new(
            name,
            "is 0; give milliseconds, at least 1",
        ));
    }
    Ok(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeConfig;

    #[test]
    fn a_file_with_an_unknown_key_is_refused_with_its_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "registry = \"a\"\nsecrte = \"x\"\n").unwrap();
        let error = NodeConfig::from_file(file.path()).unwrap_err().to_string();
        assert!(
            error.contains(":2: ") && error.contains("secrte"),
            "{error}"
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_with_the_remedy() {
        let missing = Path::new("no/such/botzilla.toml");
        let error = Settings::from_env_and(Some(missing))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no/such/botzilla.toml") && error.contains("check"),
            "{error}"
        );
        let settings = Settings {
            secret_file: Some("no/such/secret".into()),
            ..Settings::default()
        };
        let error = settings.secrets().unwrap_err().to_string();
        assert!(
            error.contains("no/such/secret") && error.contains("check"),
            "{error}"
        );
    }

    #[test]
    fn every_limit_of_zero_is_refused_and_others_are_taken() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let base = "registry = \"a\"\nsecret = \"0123456789abcdef\"\n[limits]\n";
        std::fs::write(file.path(), format!("{base}payload = 0\n")).unwrap();
        let error = NodeConfig::from_file(file.path()).unwrap_err().to_string();
        assert!(error.contains("limits.payload"), "{error}");
        std::fs::write(
            file.path(),
            format!("{base}payload = 1024\nurgent_per_target = 3\n"),
        )
        .unwrap();
        let config = NodeConfig::from_file(file.path()).unwrap();
        assert_eq!(
            (config.limits.payload, config.limits.urgent_per_target),
            (1024, 3)
        );
        let take = |name: &str| {
            std::fs::write(file.path(), format!("{base}{name} = 7\n")).unwrap();
            let seven = NodeConfig::from_file(file.path()).unwrap().limits;
            std::fs::write(file.path(), format!("{base}{name} = 0\n")).unwrap();
            let error = NodeConfig::from_file(file.path()).unwrap_err().to_string();
            assert!(error.contains(&format!("limits.{name}")), "{error}");
            seven
        };
        assert_eq!(take("messages_per_target").messages_per_target, 7);
        assert_eq!(take("messages_per_connection").messages_per_connection, 7);
        assert_eq!(take("bytes_per_connection").bytes_per_connection, 7);
        assert_eq!(take("reply_bytes").reply_bytes, 7);
        assert_eq!(take("detail").detail, 7);
        assert_eq!(take("panic_text").panic_text, 7);
        assert_eq!(take("nesting").nesting, 7);
        assert_eq!(take("decoded").decoded, 7);
        assert_eq!(take("path").path, 7);
        assert_eq!(take("routes").routes, 7);
        assert_eq!(take("stream_payload").stream_payload, 7);
        assert_eq!(take("subscriptions").subscriptions, 7);
        assert_eq!(take("stream_depth").stream_depth, 7);
        assert_eq!(take("stream_queue").stream_queue, 7);
        assert_eq!(take("stream_queues").stream_queues, 7);
        assert_eq!(take("unproven").unproven, 7);
        assert_eq!(take("unproven_per_address").unproven_per_address, 7);
        assert_eq!(take("idle_after_ms").idle_after, Duration::from_millis(7));
    }

    #[test]
    fn security_is_hmac_or_noise_and_what_else_is_written_is_named_with_both() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = |line: &str| {
            let text = format!("registry = \"a\"\nsecret = \"0123456789abcdef\"\n{line}\n");
            std::fs::write(file.path(), text).unwrap();
            NodeConfig::from_file(file.path())
        };
        let security = |line: &str| read(line).unwrap().security;
        assert_eq!(security(""), None);
        assert_eq!(
            security("security = \"hmac\""),
            Some(Security::Authenticated)
        );
        assert_eq!(security("security = \"noise\""), Some(Security::Encrypted));
        let error = read("security = \"tls\"").unwrap_err().to_string();
        assert!(
            [":3: ", "tls", "hmac", "noise"]
                .iter()
                .all(|part| error.contains(part)),
            "{error}"
        );
        let error = "tls".parse::<Security>().unwrap_err();
        assert!(
            error.contains("\"noise\"") && error.contains("\"hmac\""),
            "{error}"
        );
    }

    #[test]
    fn an_address_to_advertise_that_is_none_is_named_with_the_remedy() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let base = "registry = \"a\"\nsecret = \"0123456789abcdef\"\n";
        for bad in ["nonsense", "", "robot:0", "[::1:7001"] {
            let text = format!("{base}advertise = [\"robot.local:7001\", \"{bad}\"]\n");
            std::fs::write(file.path(), text).unwrap();
            let error = NodeConfig::from_file(file.path()).unwrap_err().to_string();
            assert!(
                error.contains("advertise")
                    && error.contains(&format!("{bad:?}"))
                    && error.contains("host:port"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_secret_never_shows_when_settings_are_printed() {
        let config = NodeConfig::new("a", "a very secret passphrase").unwrap();
        let settings = Settings {
            secret: Some("hush".into()),
            ..Settings::default()
        };
        let printed = format!("{config:?} {settings:?}");
        assert!(
            !printed.contains("secret passphrase") && !printed.contains("hush"),
            "{printed}"
        );
    }
}
