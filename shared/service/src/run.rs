use std::{error::Error, process::ExitCode, time::Duration};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{App, Env, EnvError, logs, otlp, serve};

/// The error of a function that could not start.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Runs a function as Cloud Run wants it: logs, `PORT` (default 8080), the app that `build` makes of the environment,
/// SIGTERM and SIGINT, drain, exit code.
pub fn main<B>(name: &'static str, build: B) -> ExitCode
where
    B: AsyncFnOnce(Env) -> Result<App, BoxError>,
{
    let env = Env::from_process();
    logs::install(name, env.get("GOOGLE_CLOUD_PROJECT"));
    install_tls_provider();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(name, &error),
    };
    let ended = runtime.block_on(run(name, env, build));
    runtime.shutdown_timeout(Duration::from_millis(200));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(name, error.as_ref()),
    }
}

/// Makes aws-lc-rs the process's TLS provider, unless one is installed.
pub fn install_tls_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Lost only to another thread that installed one at the same moment, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
}

async fn run<B>(name: &'static str, env: Env, build: B) -> Result<(), BoxError>
where
    B: AsyncFnOnce(Env) -> Result<App, BoxError>,
{
    let mut read = env.read();
    let port = read.or("PORT", "a port from 0 to 65535", 8080u16);
    let telemetry = otlp::Settings::read(&mut read);
    let app = together(read.finish(), build(env.clone()).await)?;
    otlp::install(telemetry);
    let stop = CancellationToken::new();
    on_signal(stop.clone())?;
    let listener = TcpListener::bind(("0.0.0.0", port)).await?;
    Ok(serve(name, listener, app, stop).await?)
}

/// The app, or every bad variable: the shim's own and the function's.
fn together(own: Result<(), EnvError>, app: Result<App, BoxError>) -> Result<App, BoxError> {
    match (own, app) {
        (Ok(()), app) => app,
        (Err(own), Ok(_)) => Err(own.into()),
        (Err(mut own), Err(error)) => match error.downcast::<EnvError>() {
            Ok(functions) => {
                own.variables.extend(functions.variables);
                Err(own.into())
            }
            Err(error) => Err(error),
        },
    }
}

/// Cancels `stop` at the first SIGTERM or SIGINT.
fn on_signal(stop: CancellationToken) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        let signal = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal, "stopping");
        stop.cancel();
    });
    Ok(())
}

fn failed(name: &'static str, error: &dyn Error) -> ExitCode {
    tracing::error!(service = name, error = %chain(error), "did not start");
    ExitCode::FAILURE
}

/// The error and its sources on one line, each once.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
