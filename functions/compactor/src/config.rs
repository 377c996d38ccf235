use std::{path::PathBuf, time::Duration};

use objects::StoreConfig;
use pubsub::{OidcConfig, PubSubConfig};
use service::{Env, EnvError};

/// The compactor's settings. The budgets of a run are the catalog's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The path of `pipas.yaml`.
    pub catalog: PathBuf,
    /// Where Pub/Sub is.
    pub pubsub: PubSubConfig,
    /// Where the archive is.
    pub store: StoreConfig,
    /// Whose token a trigger must carry; `None`: nobody's.
    pub auth: Option<OidcConfig>,
    /// A backlog is empty when no message has come for so long.
    pub idle: Duration,
    /// What a run that died held comes again after so long.
    pub ack_deadline: Duration,
}

/// A busy subscription is never silent for so long.
const IDLE_MS: u64 = 3000;
/// Long enough for a pause of the process, short enough that what it held is in the next run's reach.
const ACK_DEADLINE_S: u64 = 60;

impl Config {
    /// Reads the settings, and reports every bad variable at once.
    pub fn from_env(env: &Env) -> Result<Self, EnvError> {
        let mut read = env.read();
        let catalog = read.or("PIPAS_CATALOG", "the path of pipas.yaml", PathBuf::from("/etc/pipas/pipas.yaml"));
        let project = read.required("GOOGLE_CLOUD_PROJECT", "a project id");
        let bucket = read.required("PIPAS_ARCHIVE_BUCKET", "the name of a bucket");
        let pubsub_endpoint = read.url("PIPAS_PUBSUB_ENDPOINT");
        let storage_endpoint = read.url("PIPAS_STORAGE_ENDPOINT");
        let auth = OidcConfig::from_env(
            &mut read,
            "the audience of the trigger's token",
            "the e-mail address of the trigger's service account",
        );
        let idle = read.or("PIPAS_COMPACTOR_IDLE_MS", "a number of milliseconds", IDLE_MS);
        if idle == 0 {
            read.problem("PIPAS_COMPACTOR_IDLE_MS", "expected at least 1, found 0");
        }
        let ack_deadline = read.or("PIPAS_COMPACTOR_ACK_DEADLINE_S", "a number of seconds", ACK_DEADLINE_S);
        if !(10..=600).contains(&ack_deadline) {
            read.problem("PIPAS_COMPACTOR_ACK_DEADLINE_S", format!("expected 10 to 600, found {ack_deadline}"));
        }
        read.finish()?;
        Ok(Self {
            catalog,
            pubsub: PubSubConfig { project: project.unwrap_or_default(), endpoint: pubsub_endpoint },
            store: StoreConfig { bucket: bucket.unwrap_or_default(), endpoint: storage_endpoint },
            auth,
            idle: Duration::from_millis(idle),
            ack_deadline: Duration::from_secs(ack_deadline),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_config_is_short() {
        let env = Env::from_pairs([
            ("GOOGLE_CLOUD_PROJECT", "pipas-local"),
            ("PIPAS_ARCHIVE_BUCKET", "pipas-archive"),
            ("PIPAS_STORAGE_ENDPOINT", "http://127.0.0.1:1"),
            ("PIPAS_PUSH_AUTH", "none"),
        ]);
        let config = Config::from_env(&env).expect("a config");
        assert_eq!(config.auth, None);
        assert_eq!(config.idle, Duration::from_secs(3));
        assert_eq!(config.store.endpoint.as_deref(), Some("http://127.0.0.1:1"));
    }

    #[test]
    fn bad_variables_are_reported_together() {
        let env = Env::from_pairs([("PIPAS_PUBSUB_ENDPOINT", "localhost:1"), ("PIPAS_COMPACTOR_IDLE_MS", "0")]);
        insta::assert_snapshot!(Config::from_env(&env).expect_err("six problems"), @r"
        the environment has 6 bad variable(s):
          GOOGLE_CLOUD_PROJECT: is not set; expected a project id
          PIPAS_ARCHIVE_BUCKET: is not set; expected the name of a bucket
          PIPAS_PUBSUB_ENDPOINT: expected a URL that starts with http:// or https://
          PIPAS_PUSH_AUDIENCE: is not set; expected the audience of the trigger's token
          PIPAS_PUSH_SERVICE_ACCOUNT: is not set; expected the e-mail address of the trigger's service account
          PIPAS_COMPACTOR_IDLE_MS: expected at least 1, found 0
        ");
    }
}
