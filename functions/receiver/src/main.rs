//! The receiver on Cloud Run.

fn main() -> std::process::ExitCode {
    service::main("receiver", async |env| {
        let config = receiver::Config::from_env(&env)?;
        Ok(receiver::router(receiver::Receiver::connect(&config).await?)?)
    })
}
