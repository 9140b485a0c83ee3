use super::error::CommandError;
use crate::{
    bus::{Bus, ConnectError, Message, nats},
    message::Namespace,
};
use bytes::Bytes;
use clap::Args;
use std::{env, fmt, path::PathBuf, time::Duration};

/// How long the first node may take to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Where to speak.
#[derive(Args)]
pub(super) struct Place {
    /// The server, or several of one cluster separated by commas; also with `user:password@`.
    #[arg(long, global = true, value_name = "URL", env = "CALLBOARD_NATS")]
    #[arg(default_value = "nats://localhost:4222", hide_env_values = true)]
    pub(super) nats: String,
    /// A credentials file as `nsc` writes it.
    #[arg(long, global = true, value_name = "FILE", env = "CALLBOARD_CREDS")]
    pub(super) creds: Option<PathBuf>,
    /// The first token of every subject.
    #[arg(long, global = true, value_name = "NAME", env = "CALLBOARD_NAMESPACE")]
    #[arg(default_value = "callboard")]
    pub(super) namespace: Namespace,
    /// Says more on standard error; twice for even more.
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
}

impl Place {
    /// Connects to the server.
    pub(super) async fn connect(&self) -> Result<Bus, ConnectError> {
        let mut options = nats::Options::new(self.nats.as_str())
            .name("callboard command")
            .screened();
        if let Some(file) = &self.creds {
            options = options.credentials_file(file);
        }
        Bus::nats(options).await
    }

    /// Connects to the server, and checks that the namespace is in use there: it has
    /// streams, or a node answers.
    ///
    /// # Errors
    ///
    /// Also returns [`CommandError::NoNode`] if it is not.
    pub(super) async fn connect_used(&self) -> Result<Bus, CommandError> {
        let bus = self.connect().await?;
        let own = format!("{}_", self.namespace);
        // Who may not list streams is not stopped by it.
        let streams = bus.streams().await.unwrap_or_default();
        if streams.iter().any(|stream| stream.name.starts_with(&own)) {
            return Ok(bus);
        }
        let question = Message::new(self.namespace.system("ask.tree"), Bytes::new());
        match bus.request(question, PATIENCE).await {
            Ok(_) => Ok(bus),
            Err(_) => Err(CommandError::NoNode(format!(
                "namespace `{}` has no streams on this server, and no node answers there; is one \
                 running, and is `--namespace` right?",
                self.namespace
            ))),
        }
    }

    /// Returns who publishes: this command, and the name of its user.
    pub(super) fn source(&self) -> String {
        format!("/{}/cli/{}", self.namespace, user())
    }

    /// Returns who does something at which machine, for a record.
    pub(super) fn operator() -> String {
        let host = env::var("HOSTNAME").or_else(|_| std::fs::read_to_string("/etc/hostname"));
        let host = name(&host.unwrap_or_default());
        let host = if host.is_empty() { "localhost" } else { &host };
        format!("{}@{host}", user())
    }
}

fn user() -> String {
    let user = env::var("USER").or_else(|_| env::var("USERNAME"));
    let user = name(&user.unwrap_or_default());
    if user.is_empty() {
        return "operator".to_owned();
    }
    user
}

/// Leaves out what belongs in no name.
fn name(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        .collect()
}

// The address may hold a password.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}
