//! The compactor on Cloud Run.

fn main() -> std::process::ExitCode {
    service::main("compactor", async |env| {
        let config = compactor::Config::from_env(&env)?;
        Ok(compactor::router(compactor::Compactor::connect(&config).await?)?)
    })
}
