use std::path::PathBuf;

use objects::StoreConfig;
use pubsub::{OidcConfig, PubSubConfig};
use rows::MaskKey;
use service::{Env, EnvError};

/// The replayer's settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// The path of `pipas.yaml`.
    pub catalog: PathBuf,
    /// Where Pub/Sub is.
    pub pubsub: PubSubConfig,
    /// Where the archive is.
    pub store: StoreConfig,
    /// BigQuery's REST endpoint; `None`: Google's.
    pub bigquery_endpoint: Option<String>,
    /// The Storage Write endpoint; `None`: Google's.
    pub bigquery_storage_endpoint: Option<String>,
    /// Whose token a trigger must carry; `None`: nobody's.
    pub auth: Option<OidcConfig>,
    /// The key of masks that hash, the loader's own; `None`: nothing that one masks is merged.
    pub mask_key: Option<MaskKey>,
}

impl Config {
    /// Reads the settings, and reports every bad variable at once.
    pub fn from_env(env: &Env) -> Result<Self, EnvError> {
        let mut read = env.read();
        let catalog = read.or("PIPAS_CATALOG", "the path of pipas.yaml", PathBuf::from("/etc/pipas/pipas.yaml"));
        let project = read.required("GOOGLE_CLOUD_PROJECT", "a project id");
        let bucket = read.required("PIPAS_ARCHIVE_BUCKET", "the name of a bucket");
        let pubsub_endpoint = read.url("PIPAS_PUBSUB_ENDPOINT");
        let storage_endpoint = read.url("PIPAS_STORAGE_ENDPOINT");
        let bigquery_endpoint = read.url("PIPAS_BIGQUERY_ENDPOINT");
        let bigquery_storage_endpoint = read.url("PIPAS_BIGQUERY_STORAGE_ENDPOINT");
        let auth = OidcConfig::from_env(
            &mut read,
            "the audience of the trigger's token",
            "the e-mail address of the trigger's service account",
        );
        let mask_key = read.secret("PIPAS_MASK_KEY", |key| MaskKey::new(&key.into()));
        read.finish()?;
        Ok(Self {
            catalog,
            pubsub: PubSubConfig { project: project.unwrap_or_default(), endpoint: pubsub_endpoint },
            store: StoreConfig { bucket: bucket.unwrap_or_default(), endpoint: storage_endpoint },
            bigquery_endpoint,
            bigquery_storage_endpoint,
            auth,
            mask_key,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_variables_are_reported_together() {
        let env = Env::from_pairs([("PIPAS_BIGQUERY_ENDPOINT", "localhost:1")]);
        insta::assert_snapshot!(Config::from_env(&env).expect_err("five problems"), @r"
        the environment has 5 bad variable(s):
          GOOGLE_CLOUD_PROJECT: is not set; expected a project id
          PIPAS_ARCHIVE_BUCKET: is not set; expected the name of a bucket
          PIPAS_BIGQUERY_ENDPOINT: expected a URL that starts with http:// or https://
          PIPAS_PUSH_AUDIENCE: is not set; expected the audience of the trigger's token
          PIPAS_PUSH_SERVICE_ACCOUNT: is not set; expected the e-mail address of the trigger's service account
        ");
    }
}
