use crate::bus::ConnectError;
use async_nats::{ConnectOptions, ServerAddr};
use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

/// Where the server is and who connects.
///
/// # Examples
///
/// ```
/// use callboard::bus::nats::Options;
///
/// let options = Options::new("nats://shop:secret@one:4222,two:4222").name("till");
/// assert_eq!(options.to_string(), "one:4222,two:4222");
/// assert!(!format!("{options:?}").contains("secret"));
/// ```
#[derive(Clone)]
pub struct Options {
    addresses: Vec<String>,
    name: String,
    login: Login,
    /// Whether something came over a connection of these options that no client can read.
    unreadable: Arc<AtomicBool>,
}

#[derive(Clone)]
enum Login {
    Nobody,
    User { name: String, password: String },
    Token(String),
    File(PathBuf),
}

impl Options {
    /// Names the server, or several of one cluster separated by commas:
    /// `nats://host:4222`, also with `user:password@` or `token@` before the host.
    pub fn new(url: impl Into<String>) -> Self {
        let url = url.into();
        let mut login = Login::Nobody;
        let addresses = url
            .split(',')
            .map(str::trim)
            .filter(|address| !address.is_empty())
            .map(|address| {
                let (bare, found) = split_login(address);
                if let (Login::Nobody, Some(found)) = (&login, found) {
                    login = found;
                }
                bare
            })
            .collect();
        Self { addresses, name: "callboard".into(), login, unreadable: Arc::default() }
    }

    /// Sets the name under which the server lists the connection.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Logs in with a user's name and password.
    #[must_use]
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.login = Login::User { name: name.into(), password: password.into() };
        self
    }

    /// Logs in with a token.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.login = Login::Token(token.into());
        self
    }

    /// Logs in with a credentials file as `nsc` writes it: a JWT and its seed.
    #[must_use]
    pub fn credentials_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.login = Login::File(path.into());
        self
    }

    /// Makes connections on which a header that is not text breaks nothing, from the start on;
    /// others become so when they broke once. That takes one more hop on this machine, over
    /// the loopback address: in plain text, with the login, also where the server is reached
    /// by TLS.
    #[must_use]
    pub fn screened(mut self) -> Self {
        self.unreadable = Arc::new(AtomicBool::new(true));
        self
    }

    /// Returns what all connections of these options know of messages that cannot be read.
    pub(super) const fn unreadable(&self) -> &Arc<AtomicBool> {
        &self.unreadable
    }

    pub(super) fn servers(&self) -> Result<Vec<ServerAddr>, ConnectError> {
        if self.addresses.is_empty() {
            return Err(ConnectError::Options { reason: "no address is given".into() });
        }
        let parse = |address: &String| {
            let refused = |why: String| ConnectError::Options {
                reason: format!("`{}`: {why}", address.escape_debug()),
            };
            let server: ServerAddr = address
                .parse()
                .map_err(|error: std::io::Error| refused(error.to_string()))?;
            if server.host().is_empty() {
                return Err(refused("it names no host".into()));
            }
            Ok(server)
        };
        self.addresses.iter().map(parse).collect()
    }

    /// Returns the client's options with name and login filled in.
    pub(super) async fn client(&self) -> Result<ConnectOptions, ConnectError> {
        let options = ConnectOptions::new().name(&self.name);
        Ok(match &self.login {
            Login::Nobody => options,
            Login::User { name, password } => {
                options.user_and_password(name.clone(), password.clone())
            }
            Login::Token(token) => options.token(token.clone()),
            Login::File(path) => {
                let refused = |error| ConnectError::Options {
                    reason: format!("credentials file {}: {error}", path.display()),
                };
                options.credentials_file(path).await.map_err(refused)?
            }
        })
    }
}

impl From<&str> for Options {
    fn from(url: &str) -> Self {
        Self::new(url)
    }
}

impl From<String> for Options {
    fn from(url: String) -> Self {
        Self::new(url)
    }
}

/// Writes the addresses, without credentials.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, address) in self.addresses.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{}", address.trim_start_matches("nats://"))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let login = match &self.login {
            Login::Nobody => "none",
            Login::User { .. } => "user and password",
            Login::Token(_) => "token",
            Login::File(_) => "credentials file",
        };
        f.debug_struct("Options")
            .field("addresses", &self.addresses)
            .field("name", &self.name)
            .field("login", &login)
            .field("unreadable", &self.unreadable)
            .finish()
    }
}

/// Splits an address into the part that may be shown and the login in it.
fn split_login(address: &str) -> (String, Option<Login>) {
    let (scheme, rest) = address
        .split_once("://")
        .map_or(("", address), |(scheme, rest)| (scheme, rest));
    let Some((login, host)) = rest.rsplit_once('@') else {
        return (address.into(), None);
    };
    let separator = if scheme.is_empty() { "" } else { "://" };
    let bare = format!("{scheme}{separator}{host}");
    let login = match login.split_once(':') {
        Some((name, password)) => Login::User { name: decode(name), password: decode(password) },
        None => Login::Token(decode(login)),
    };
    (bare, Some(login))
}

/// Decodes `%XX`; what is no such escape stands for itself.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escape = (first == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(|digits| str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escape.unwrap_or(first));
        rest = if escape.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_in_the_address_is_taken_out_of_it() {
        let options = Options::new("nats://a:p%40ss@one:4222, nats://two");
        assert_eq!(options.addresses, ["nats://one:4222", "nats://two"]);
        let Login::User { name, password } = &options.login else {
            panic!("no user")
        };
        assert_eq!((name.as_str(), password.as_str()), ("a", "p@ss"));
        let token = Options::new("s3cr3t@one");
        assert!(matches!(&token.login, Login::Token(token) if token == "s3cr3t"));
        assert_eq!(token.to_string(), "one");
    }

    #[test]
    fn secrets_are_never_shown() {
        for options in [
            Options::new("nats://u:s3cr3t@h:1"),
            Options::new("u:s3cr3t@h:1"),
            Options::new("nats://s3cr3t@h:1"),
            Options::new("h").user("u", "s3cr3t"),
            Options::new("h").token("s3cr3t"),
        ] {
            assert!(!format!("{options} {options:?} {options:#?}").contains("s3cr3t"));
        }
    }
}
