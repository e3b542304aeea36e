//! A node's settings: from code, from the environment, from a TOML file.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use botzilla_wire::{Limits, Secret};
use serde::Deserialize;

use crate::ConfigError;

/// The registry's port.
pub const REGISTRY_PORT: u16 = 6985;
/// The file that `Node::from_env` reads if it is there and `BOTZILLA_CONFIG` names no other.
const DEFAULT_FILE: &str = "botzilla.toml";

const ENV_CONFIG: &str = "BOTZILLA_CONFIG";
const ENV_REGISTRY: &str = "BOTZILLA_REGISTRY";
const ENV_SECRET: &str = "BOTZILLA_SECRET";
const ENV_SECRET_FILE: &str = "BOTZILLA_SECRET_FILE";
const ENV_LISTEN: &str = "BOTZILLA_LISTEN";
const ENV_ADVERTISE: &str = "BOTZILLA_ADVERTISE";

/// What a node needs to know before it starts.
///
/// ```
/// use std::time::Duration;
/// use botzilla::NodeConfig;
///
/// let config = NodeConfig::new("127.0.0.1:6985", "a passphrase of at least 16 bytes")?
///     .listen("0.0.0.0:7001")
///     .ask_time(Duration::from_secs(2));
/// # Ok::<(), botzilla::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct NodeConfig {
    pub(crate) registry: RegistryAt,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) listen: String,
    pub(crate) advertise: Vec<String>,
    pub(crate) ask_time: Duration,
    pub(crate) registry_time: Duration,
    pub(crate) limits: Limits,
    pub(crate) short_lived: bool,
}

/// Where a node finds the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RegistryAt {
    Address(String),
    /// On this node itself.
    Here,
    /// There is none: the node's components find each other, and nobody else.
    Nowhere,
}

impl NodeConfig {
    /// A node that finds others through the registry at `registry` (`host:port`; without a port,
    /// [`REGISTRY_PORT`]), with a secret from `botzilla keygen` or a passphrase of at least 16
    /// bytes.
    ///
    /// # Errors
    ///
    /// The address or the secret can't be one; the error says why.
    pub fn new(registry: impl AsRef<str>, secret: impl AsRef<str>) -> Result<Self, ConfigError> {
        let registry = registry_address(registry.as_ref())
            .map_err(|reason| ConfigError::new("registry", reason))?;
        let secret =
            Secret::parse(secret.as_ref()).map_err(|error| ConfigError::new("secret", error))?;
        Ok(Self::with(RegistryAt::Address(registry), secret))
    }

    /// A node that hosts the registry itself; `botzilla_registry` spawns it there.
    ///
    /// # Errors
    ///
    /// The secret can't be one.
    pub fn hosting_registry(secret: impl AsRef<str>) -> Result<Self, ConfigError> {
        let secret =
            Secret::parse(secret.as_ref()).map_err(|error| ConfigError::new("secret", error))?;
        Ok(Self::with(RegistryAt::Here, secret))
    }

    /// A node without a network: its components find each other, and nobody else finds them. It needs
    /// neither a registry nor a secret.
    pub fn in_process() -> Self {
        Self::of(RegistryAt::Nowhere, Vec::new())
    }

    fn with(registry: RegistryAt, secret: Secret) -> Self {
        Self::of(registry, vec![secret])
    }

    fn of(registry: RegistryAt, secrets: Vec<Secret>) -> Self {
        Self {
            registry,
            secrets,
            listen: "0.0.0.0:0".to_owned(),
            advertise: Vec::new(),
            ask_time: Duration::from_secs(5),
            registry_time: Duration::from_secs(30),
            limits: Limits::default(),
            short_lived: false,
        }
    }

    /// From `BOTZILLA_REGISTRY`, `BOTZILLA_SECRET` (or `BOTZILLA_SECRET_FILE`), `BOTZILLA_LISTEN`,
    /// `BOTZILLA_ADVERTISE`; what they don't set, from the TOML file that `BOTZILLA_CONFIG` names,
    /// or from `botzilla.toml` in the working directory.
    ///
    /// # Errors
    ///
    /// A setting is missing or can't be used; the error names it, with the reason and the remedy.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_settings(Settings::from_env()?)
    }

    /// From a TOML file alone.
    ///
    /// # Errors
    ///
    /// The file can't be read, or something in it can't be used.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        Self::from_settings(Settings::from_file(path.as_ref())?)
    }

    /// From settings that were read before.
    ///
    /// # Errors
    ///
    /// A setting is missing or can't be used.
    pub fn from_settings(settings: Settings) -> Result<Self, ConfigError> {
        let registry = settings.registry.as_deref().ok_or_else(|| {
            ConfigError::new(
                ENV_REGISTRY,
                "not set; say where the registry is, for example 192.168.1.10:6985 \
                 (`botzilla registry` runs one)",
            )
        })?;
        let secret = settings.secret()?;
        let mut config = Self::new(registry, secret)?;
        if let Some(listen) = settings.listen {
            config = config.listen(listen);
        }
        if let Some(advertise) = settings.advertise {
            config = config.advertise(advertise);
        }
        if let Some(ms) = settings.ask_time_ms {
            config = config.ask_time(positive("ask_time_ms", ms)?);
        }
        if let Some(ms) = settings.registry_time_ms {
            config = config.registry_time(positive("registry_time_ms", ms)?);
        }
        if let Some(limits) = settings.limits {
            limits.apply(&mut config.limits)?;
        }
        Ok(config)
    }

    /// The address to listen on; default `0.0.0.0:0`: any free port on every interface.
    #[must_use]
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = address.into();
        self
    }

    /// The addresses (`host:port`) that others are told, instead of all that this host has.
    #[must_use]
    pub fn advertise(mut self, addresses: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.advertise = addresses.into_iter().map(Into::into).collect();
        self
    }

    /// How long an ask or tell has unless it says otherwise; default 5 s.
    #[must_use]
    pub fn ask_time(mut self, time: Duration) -> Self {
        self.ask_time = time;
        self
    }

    /// How long the registry is tried at start; default 30 s.
    #[must_use]
    pub fn registry_time(mut self, time: Duration) -> Self {
        self.registry_time = time;
        self
    }

    /// Another secret that this node accepts as well.
    ///
    /// # Errors
    ///
    /// The secret can't be one.
    pub fn also_accept(mut self, secret: impl AsRef<str>) -> Result<Self, ConfigError> {
        let secret =
            Secret::parse(secret.as_ref()).map_err(|error| ConfigError::new("secret", error))?;
        self.secrets.push(secret);
        Ok(self)
    }

    /// The bounds on queues and sizes.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// For tools that ask a few things and end: no listener, no replica of the directory.
    #[must_use]
    pub fn short_lived(mut self) -> Self {
        self.short_lived = true;
        self
    }
}

impl fmt::Debug for NodeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeConfig")
            .field("registry", &self.registry)
            .field("listen", &self.listen)
            .field("advertise", &self.advertise)
            .finish_non_exhaustive()
    }
}

/// The settings as written in a file or the environment; all optional.
///
/// ```toml
/// registry = "192.168.1.10:6985"
/// secret_file = "/etc/botzilla/secret"   # or: secret = "bz1:.."
/// listen = "0.0.0.0:7001"
/// advertise = ["robot.local:7001"]
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
    /// The secret itself.
    pub secret: Option<String>,
    /// A file whose first line is the secret.
    pub secret_file: Option<PathBuf>,
    /// The address to listen on.
    pub listen: Option<String>,
    /// The addresses that others are told.
    pub advertise: Option<Vec<String>>,
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
    /// How deep a payload may nest.
    pub nesting: Option<usize>,
    /// Bytes in memory of one payload's elements.
    pub decoded: Option<usize>,
    /// Names that a nested ask may carry, 16 at most.
    pub path: Option<usize>,
    /// Route numbers that one peer may have in use.
    pub routes: Option<u32>,
    /// Connections whose handshake isn't done.
    pub unproven: Option<usize>,
    /// The same from one address.
    pub unproven_per_address: Option<usize>,
    /// Milliseconds after which an unused connection ends.
    pub idle_after_ms: Option<u64>,
}

impl LimitSettings {
    fn apply(self, limits: &mut Limits) -> Result<(), ConfigError> {
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
        set(&mut limits.nesting, self.nesting, "nesting")?;
        set(&mut limits.decoded, self.decoded, "decoded")?;
        set(&mut limits.path, self.path, "path")?;
        set(&mut limits.routes, self.routes, "routes")?;
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
            (settings.secret, settings.secret_file) = (Some(secret), None);
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
        Ok(settings)
    }

    /// From a TOML file.
    ///
    /// # Errors
    ///
    /// It can't be read, isn't TOML, or has a key that doesn't exist.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| unreadable("the configuration file", path, &error))?;
        toml::from_str(&text).map_err(|error| {
            let line = error
                .span()
                .map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            let place = format!("{}:{line}", path.display());
            ConfigError::new(place, error.message().replace('\n', " "))
        })
    }

    /// The secret, wherever it is.
    ///
    /// # Errors
    ///
    /// There is none, or its file can't be read.
    pub fn secret(&self) -> Result<String, ConfigError> {
        match (&self.secret, &self.secret_file) {
            (Some(secret), _) => Ok(secret.clone()),
            (None, Some(path)) => std::fs::read_to_string(path)
                .map(|text| text.lines().next().unwrap_or_default().to_owned())
                .map_err(|error| unreadable("the secret's file", path, &error)),
            (None, None) => Err(ConfigError::new(
                ENV_SECRET,
                "not set; every node and the registry share one secret: `botzilla keygen` makes it",
            )),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("registry", &self.registry)
            .field("secret", &self.secret.as_ref().map(|_| "***"))
            .field("secret_file", &self.secret_file)
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

fn unreadable(what: &str, path: &Path, error: &std::io::Error) -> ConfigError {
    ConfigError::new(
        format!("{what} {}", path.display()),
        format!("can't be read ({error}); check the path and who may read it"),
    )
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

fn positive(name: &str, ms: u64) -> Result<Duration, ConfigError> {
    if ms == 0 {
        return Err(ConfigError::new(
            name,
            "is 0; give milliseconds, at least 1",
        ));
    }
    Ok(Duration::from_millis(ms))
}

/// `host:port`, with the registry's port if none is given.
pub(crate) fn registry_address(text: &str) -> Result<String, String> {
    let text = text.trim();
    let bad = |reason: &str| {
        Err(format!(
            "{text:?} {reason}; write host:port, for example 192.168.1.10:6985"
        ))
    };
    if text.is_empty() {
        return bad("is empty");
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, "")) => (format!("[{host}]"), None),
            Some((host, port)) if port.starts_with(':') => (format!("[{host}]"), Some(&port[1..])),
            _ => return bad("has an unclosed bracket"),
        },
        None => match text.split_once(':') {
            // More than one colon without brackets: an IPv6 address.
            Some((_, rest)) if rest.contains(':') => (format!("[{text}]"), None),
            Some((host, port)) => (host.to_owned(), Some(port)),
            None => (text.to_owned(), None),
        },
    };
    if host.is_empty() || host == "[]" {
        return bad("names no host");
    }
    if host.contains(|c: char| c.is_whitespace() || c == '/') {
        return bad("isn't a host");
    }
    match port {
        None => Ok(format!("{host}:{REGISTRY_PORT}")),
        Some(port) => match port.parse::<u16>() {
            Ok(port) if port > 0 => Ok(format!("{host}:{port}")),
            _ => bad("has no port from 1 to 65535"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_the_registrys_port_and_brackets_where_it_needs_them() {
        for (text, address) in [
            ("robot.local", "robot.local:6985"),
            ("10.0.0.1:7000", "10.0.0.1:7000"),
            ("::1", "[::1]:6985"),
            ("[fe80::1]:70", "[fe80::1]:70"),
        ] {
            assert_eq!(registry_address(text).unwrap(), address);
        }
    }

    #[test]
    fn an_address_that_cannot_be_one_is_named_with_the_remedy() {
        for text in [
            "",
            ":80",
            "robot:",
            "robot:0",
            "robot:99999",
            "http://robot",
            "[::1",
            "a b",
        ] {
            let error = registry_address(text).unwrap_err();
            assert!(error.contains("write host:port"), "{error}");
        }
    }

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
        let error = settings.secret().unwrap_err().to_string();
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
        assert_eq!(take("nesting").nesting, 7);
        assert_eq!(take("decoded").decoded, 7);
        assert_eq!(take("path").path, 7);
        assert_eq!(take("routes").routes, 7);
        assert_eq!(take("unproven").unproven, 7);
        assert_eq!(take("unproven_per_address").unproven_per_address, 7);
        assert_eq!(take("idle_after_ms").idle_after, Duration::from_millis(7));
    }

    #[test]
    fn a_secret_never_shows_when_settings_are_printed() {
        let config = NodeConfig::new("a", "a very secret passphrase").unwrap();
        let settings = Settings {
            secret: Some("hush".to_owned()),
            ..Settings::default()
        };
        let printed = format!("{config:?} {settings:?}");
        assert!(
            !printed.contains("secret passphrase") && !printed.contains("hush"),
            "{printed}"
        );
    }
}
