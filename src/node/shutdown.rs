/// Waits until the operating system asks the process to end: SIGTERM, or SIGINT
/// as Ctrl-C sends it.
///
/// # Examples
///
/// ```no_run
/// # async fn run(node: callboard::Node) -> Result<(), callboard::NodeError> {
/// node.run_until(callboard::shutdown_signal()).await
/// # }
/// ```
///
/// # Cancel safety
///
/// Safe: a signal that comes while nobody waits is lost to this future only.
pub async fn shutdown_signal() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            tracing::warn!("Ctrl-C cannot be heard");
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut terminate) => drop(terminate.recv().await),
            Err(error) => {
                tracing::warn!(%error, "SIGTERM cannot be heard");
                std::future::pending::<()>().await;
            }
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => tracing::info!("interrupted, stopping"),
        () = terminate => tracing::info!("asked to end, stopping"),
    }
}
