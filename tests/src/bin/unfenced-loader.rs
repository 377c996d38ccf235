//! A loader that does not fence. With it the chaos must find rows that are missing or doubled.

fn main() -> std::process::ExitCode {
    service::main("loader", async |env| {
        let mut config = loader::Config::from_env(&env)?;
        config.unfenced = true;
        Ok(loader::router(loader::Loader::connect(&config).await?))
    })
}
