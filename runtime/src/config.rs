//! What a node needs to know before it starts: from code, from the environment, from a TOML file.

mod private;
mod secrets;
mod security;
mod settings;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use botzilla_wire::{Keyring, Limits, Secret};

pub(crate) use self::secrets::SecretSource;
use self::settings::{ENV_REGISTRY, positive};
pub use self::{
    secrets::{SecretTexts, read_secret_file},
    security::Security,
    settings::{LimitSettings, Settings},
};
use crate::{
    ConfigError,
    deadline::AS_LONG_AS_CAN_BE,
    link::is_endpoint,
    policy::{Policy, PolicyFile},
};

/// The registry's port.
pub const REGISTRY_PORT: u16 = 6985;

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
    /// As they were when this was made; none without a network.
    pub(crate) secrets: Vec<Secret>,
    pub(crate) secret_source: SecretSource,
    /// Accepted besides, whatever the source has.
    pub(crate) also: Vec<Secret>,
    /// None: what the other side requires.
    pub(crate) security: Option<Security>,
    pub(crate) listen: String,
    pub(crate) advertise: Vec<String>,
    pub(crate) ask_time: Duration,
    pub(crate) registry_time: Duration,
    pub(crate) limits: Limits,
    pub(crate) short_lived: bool,
    pub(crate) policy: Option<PolicyFile>,
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
        Ok(Self::with(RegistryAt::Address(registry), &secret.into()))
    }

    /// A node that hosts the registry itself; `botzilla_registry` spawns it there.
    ///
    /// # Errors
    ///
    /// The secret can't be one.
    pub fn hosting_registry(secret: impl AsRef<str>) -> Result<Self, ConfigError> {
        let secret =
            Secret::parse(secret.as_ref()).map_err(|error| ConfigError::new("secret", error))?;
        Ok(Self::with(RegistryAt::Here, &secret.into()))
    }

    /// A node without a network: its components find each other, and nobody else finds them. It needs
    /// neither a registry nor a secret.
    pub fn in_process() -> Self {
        Self::of(RegistryAt::Nowhere, Vec::new())
    }

    /// A node that hosts the registry itself, with the secrets, the policy and the security of settings
    /// that were read before. What else is in them is for the robot's other nodes.
    ///
    /// # Errors
    ///
    /// There is no secret, or it or the policy can't be used.
    pub fn hosting_registry_from(settings: &Settings) -> Result<Self, ConfigError> {
        let config = Self::from_secrets(RegistryAt::Here, settings)?;
        match &settings.policy {
            Some(policy) => config.policy(policy),
            None => Ok(config),
        }
    }

    fn from_secrets(registry: RegistryAt, settings: &Settings) -> Result<Self, ConfigError> {
        let (keyring, source) = settings.secrets()?;
        let mut config = Self::with(registry, &keyring);
        config.secret_source = source;
        config.security = settings.security;
        Ok(config)
    }

    fn with(registry: RegistryAt, keyring: &Keyring) -> Self {
        Self::of(registry, keyring.secrets().to_vec())
    }

    fn of(registry: RegistryAt, secrets: Vec<Secret>) -> Self {
        Self {
            registry,
            secrets,
            secret_source: SecretSource::Given,
            also: Vec::new(),
            security: None,
            listen: "[::]:0".to_owned(),
            advertise: Vec::new(),
            ask_time: Duration::from_secs(5),
            registry_time: Duration::from_secs(30),
            limits: Limits::default(),
            short_lived: false,
            policy: None,
        }
    }

    /// From `BOTZILLA_REGISTRY`, `BOTZILLA_SECRET` (or `BOTZILLA_SECRET_FILE`), `BOTZILLA_LISTEN`,
    /// `BOTZILLA_ADVERTISE`, `BOTZILLA_POLICY`, `BOTZILLA_SECURITY`; what they don't set, from the TOML file that
    /// `BOTZILLA_CONFIG` names,
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
        let registry =
            registry_address(registry).map_err(|reason| ConfigError::new("registry", reason))?;
        let mut config = Self::from_secrets(RegistryAt::Address(registry), &settings)?;
        if let Some(listen) = settings.listen {
            config = config.listen(listen);
        }
        if let Some(advertise) = settings.advertise {
            config = config.advertise(advertise);
            config.check()?;
        }
        if let Some(path) = settings.policy {
            config = config.policy(path)?;
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

    /// What only others would notice, and then fail over.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        match self.advertise.iter().find(|text| !is_endpoint(text)) {
            None => Ok(()),
            Some(bad) => Err(ConfigError::new(
                "advertise",
                format!("{bad:?} isn't an address; write host:port, for example robot.local:7001"),
            )),
        }
    }

    /// How connections are to be protected; by default as the other side or the registry requires. For
    /// a registry, it is what its whole network requires: nodes that learn of it take nothing less from
    /// then on, of each other too.
    #[must_use]
    pub fn security(mut self, security: Security) -> Self {
        self.security = Some(security);
        self
    }

    /// The address to listen on; default `[::]:0`: any free port on every interface, by IPv6 and IPv4
    /// (by IPv4 alone where there is no IPv6).
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
        self.registry_time = time.min(AS_LONG_AS_CAN_BE);
        self
    }

    /// Another secret that this node accepts as well, whatever else it holds.
    ///
    /// # Errors
    ///
    /// The secret can't be one, or has the id of another that the node holds.
    pub fn also_accept(mut self, secret: impl AsRef<str>) -> Result<Self, ConfigError> {
        let secret =
            Secret::parse(secret.as_ref()).map_err(|error| ConfigError::new("secret", error))?;
        let mut held = Keyring::default();
        for secret in self.secrets.iter().chain([&secret]) {
            held.add(secret.clone())
                .map_err(|error| ConfigError::new("secret", error))?;
        }
        self.secrets = held.secrets().to_vec();
        self.also.push(secret);
        Ok(self)
    }

    /// The secrets as they are now, if they can have changed since this was made. Reads files.
    ///
    /// # Errors
    ///
    /// They can't be read or used, or one of a file has the id of one that was given besides.
    pub(crate) fn secrets_now(&self) -> Result<Option<Keyring>, ConfigError> {
        let Some(mut keyring) = self.secret_source.read()? else {
            return Ok(None);
        };
        for secret in &self.also {
            keyring
                .add(secret.clone())
                .map_err(|error| ConfigError::new("secret", error))?;
        }
        Ok(Some(keyring))
    }

    /// Who may do what on this node, by the id of their secret: a TOML file, as [`policy`](crate::policy)
    /// reads it. Without one, all who hold a secret may all. What components of this node send each
    /// other is never checked.
    ///
    /// # Errors
    ///
    /// The file can't be read, or is no policy; the error says where and why.
    pub fn policy(mut self, file: impl Into<PathBuf>) -> Result<Self, ConfigError> {
        let path = file.into();
        let policy = Arc::new(Policy::from_file(&path)?);
        self.policy = Some(PolicyFile { path, policy });
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
}
