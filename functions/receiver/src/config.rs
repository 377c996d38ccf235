use std::path::PathBuf;

use pubsub::PubSubConfig;
use service::{Env, EnvError};

/// The receiver's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The path of `pipas.yaml`.
    pub catalog: PathBuf,
    /// Where Pub/Sub is.
    pub pubsub: PubSubConfig,
    /// The largest request body, decompressed, in bytes. Cloud Run takes no more than 32 MiB over HTTP/1.1.
    pub max_body_bytes: usize,
    /// Bytes of all bodies that are being read or answered; over it a request is refused with 429.
    pub intake_bytes: usize,
    /// Bytes of all messages that are being published; over it a request is refused with 429.
    pub publish_bytes: usize,
}

const MIB: usize = 1 << 20;

impl Config {
    /// Reads the settings, and reports every bad variable at once.
    pub fn from_env(env: &Env) -> Result<Self, EnvError> {
        let mut read = env.read();
        let catalog = read.or("PIPAS_CATALOG", "the path of pipas.yaml", PathBuf::from("/etc/pipas/pipas.yaml"));
        let project = read.required("GOOGLE_CLOUD_PROJECT", "a project id");
        let endpoint = read.url("PIPAS_PUBSUB_ENDPOINT");
        let max_body_bytes = bytes(&mut read, "PIPAS_MAX_BODY_BYTES", 32 * MIB);
        let intake_bytes = bytes(&mut read, "PIPAS_INTAKE_BYTES", 256 * MIB);
        let publish_bytes = bytes(&mut read, "PIPAS_PUBLISH_BYTES", 256 * MIB);
        if intake_bytes < max_body_bytes {
            read.problem("PIPAS_INTAKE_BYTES", "expected at least PIPAS_MAX_BODY_BYTES");
        }
        read.finish()?;
        let project = project.unwrap_or_default();
        Ok(Self { catalog, pubsub: PubSubConfig { project, endpoint }, max_body_bytes, intake_bytes, publish_bytes })
    }
}

fn bytes(read: &mut service::EnvReader<'_>, name: &'static str, default: usize) -> usize {
    const LARGEST: usize = 1 << 30;
    let bytes = read.or(name, "a number of bytes", default);
    if !(1..=LARGEST).contains(&bytes) {
        read.problem(name, format!("expected 1 to {LARGEST}, found {bytes}"));
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_need_only_a_project() {
        let config = Config::from_env(&Env::from_pairs([("GOOGLE_CLOUD_PROJECT", "p")])).expect("a config");
        assert_eq!(config.catalog, PathBuf::from("/etc/pipas/pipas.yaml"));
        assert_eq!(config.pubsub, PubSubConfig { project: "p".into(), endpoint: None });
        assert_eq!(config.max_body_bytes, 33_554_432);
    }

    #[test]
    fn bad_variables_are_reported_together() {
        let env = Env::from_pairs([("PIPAS_PUBSUB_ENDPOINT", "localhost:1"), ("PIPAS_MAX_BODY_BYTES", "lots")]);
        insta::assert_snapshot!(Config::from_env(&env).expect_err("three problems"), @r"
        the environment has 3 bad variable(s):
          GOOGLE_CLOUD_PROJECT: is not set; expected a project id
          PIPAS_PUBSUB_ENDPOINT: expected a URL that starts with http:// or https://
          PIPAS_MAX_BODY_BYTES: expected a number of bytes, found `lots`
        ");
    }
}
