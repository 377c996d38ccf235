//! The deadletter function on Cloud Run.

fn main() -> std::process::ExitCode {
    service::main("deadletter", async |env| {
        let config = deadletter::Config::from_env(&env)?;
        Ok(deadletter::router(deadletter::Deadletter::connect(&config).await?)?)
    })
}
