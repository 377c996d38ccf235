//! The loader on Cloud Run.

fn main() -> std::process::ExitCode {
    service::main("loader", async |env| {
        let config = loader::Config::from_env(&env)?;
        Ok(loader::router(loader::Loader::connect(&config).await?))
    })
}
