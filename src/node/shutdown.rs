/// Waits until the operating system asks the process to end: SIGTERM, or SIGINT
/// as Ctrl-C sends it.
///
/// It listens from the call on, not only once it is awaited: a signal that comes
/// while a node starts is not lost, and does not end the process undrained.
///
/// # Examples
///
/// ```no_run
/// # async fn run(node: callboard::Node) -> Result<(), callboard::NodeError> {
/// node.run_until(callboard::shutdown_signal()).await
/// # }
/// ```
///
/// # Panics
///
/// Panics if it is called outside a tokio runtime.
///
/// # Cancel safety
///
/// Safe: a signal that comes while nobody waits is lost to this future only.
pub fn shutdown_signal() -> impl Future<Output = ()> + Send {
    let signals = listen();
    async {
        let (interrupt, terminate) = signals;
        tokio::select! {
            () = interrupt => tracing::info!("interrupted, stopping"),
            () = terminate => tracing::info!("asked to end, stopping"),
        }
    }
}

#[cfg(unix)]
fn listen() -> (
    impl Future<Output = ()> + Send,
    impl Future<Output = ()> + Send,
) {
    use tokio::signal::unix::SignalKind;
    (
        one(SignalKind::interrupt(), "SIGINT"),
        one(SignalKind::terminate(), "SIGTERM"),
    )
}

#[cfg(unix)]
fn one(
    kind: tokio::signal::unix::SignalKind,
    name: &str,
) -> impl Future<Output = ()> + Send + use<> {
    let listening = tokio::signal::unix::signal(kind);
    if let Err(error) = &listening {
        tracing::warn!(%error, "{name} cannot be heard");
    }
    async {
        match listening {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(not(unix))]
fn listen() -> (
    impl Future<Output = ()> + Send,
    impl Future<Output = ()> + Send,
) {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            tracing::warn!("Ctrl-C cannot be heard");
            std::future::pending::<()>().await;
        }
    };
    (interrupt, std::future::pending())
}
