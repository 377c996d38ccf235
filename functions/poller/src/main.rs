//! The poller on Cloud Run.

fn main() -> std::process::ExitCode {
    service::main("poller", async |env| {
        let config = poller::Config::from_env(&env)?;
        Ok(poller::router(poller::Poller::connect(&config).await?)?)
    })
}
