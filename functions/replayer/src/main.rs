//! The replayer on Cloud Run.

fn main() -> std::process::ExitCode {
    service::main("replayer", async |env| {
        let config = replayer::Config::from_env(&env)?;
        Ok(replayer::router(replayer::Replayer::connect(&config).await?)?)
    })
}
