use std::path::PathBuf;

use objects::StoreConfig;
use pubsub::{OidcConfig, PubSubConfig, push_auth};
use service::{Env, EnvError, EnvReader};

/// The replayer's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
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
}

impl Config {
    /// Reads the settings, and reports every bad variable at once.
    pub fn from_env(env: &Env) -> Result<Self, EnvError> {
        let mut read = env.read();
        let catalog = read.or("PIPAS_CATALOG", "the path of pipas.yaml", PathBuf::from("/etc/pipas/pipas.yaml"));
        let project = read.required("GOOGLE_CLOUD_PROJECT", "a project id");
        let bucket = read.required("PIPAS_ARCHIVE_BUCKET", "the name of a bucket");
        let mut endpoint = |name: &'static str| {
            let url: Option<String> = read.optional(name, "a URL");
            if url.as_deref().is_some_and(|url| !url.starts_with("http://") && !url.starts_with("https://")) {
                read.problem(name, "expected a URL that starts with http:// or https://");
            }
            url
        };
        let pubsub_endpoint = endpoint("PIPAS_PUBSUB_ENDPOINT");
        let storage_endpoint = endpoint("PIPAS_STORAGE_ENDPOINT");
        let bigquery_endpoint = endpoint("PIPAS_BIGQUERY_ENDPOINT");
        let bigquery_storage_endpoint = endpoint("PIPAS_BIGQUERY_STORAGE_ENDPOINT");
        let auth = auth(&mut read);
        read.finish()?;
        Ok(Self {
            catalog,
            pubsub: PubSubConfig { project: project.unwrap_or_default(), endpoint: pubsub_endpoint },
            store: StoreConfig { bucket: bucket.unwrap_or_default(), endpoint: storage_endpoint },
            bigquery_endpoint,
            bigquery_storage_endpoint,
            auth,
        })
    }
}

fn auth(read: &mut EnvReader<'_>) -> Option<OidcConfig> {
    let kind = read.or("PIPAS_PUSH_AUTH", "`oidc` or `none`", "oidc".to_owned());
    match kind.as_str() {
        "none" => None,
        "oidc" => Some(OidcConfig {
            audience: read.required("PIPAS_PUSH_AUDIENCE", "the audience of the trigger's token").unwrap_or_default(),
            service_account: read
                .required("PIPAS_PUSH_SERVICE_ACCOUNT", "the e-mail address of the trigger's service account")
                .unwrap_or_default(),
            issuer: read.or("PIPAS_PUSH_ISSUER", "an issuer", push_auth::GOOGLE_ISSUER.to_owned()),
            jwks_url: read.or("PIPAS_PUSH_JWKS_URL", "a URL", push_auth::GOOGLE_JWKS_URL.to_owned()),
        }),
        other => {
            read.problem("PIPAS_PUSH_AUTH", format!("expected `oidc` or `none`, found `{other}`"));
            None
        }
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
