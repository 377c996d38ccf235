use std::path::PathBuf;

use objects::StoreConfig;
use pubsub::{OidcConfig, PubSubConfig};
use service::{Env, EnvError};

/// The poller's settings. What is fetched, and how often, is the catalog's.
#[derive(Debug, Clone)]
pub struct Config {
    /// The path of `pipas.yaml`.
    pub catalog: PathBuf,
    /// Where Pub/Sub is.
    pub pubsub: PubSubConfig,
    /// Where what is known of feeds is kept: the registry's bucket.
    pub store: StoreConfig,
    /// Where tasks go.
    pub tasks: TasksConfig,
    /// Whose token a trigger or a task must carry; `None`: nobody's.
    pub auth: Option<OidcConfig>,
    /// The environment, for what the catalog takes from it.
    pub env: Env,
}

/// Where tasks go, and whom they call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TasksConfig {
    /// The queue: `projects/P/locations/L/queues/Q`.
    pub queue: String,
    /// The endpoint's URL; `None`: Google's. An `http://` endpoint is spoken to without credentials.
    pub endpoint: Option<String>,
    /// The poller's own URL, which tasks call.
    pub poller: String,
    /// Whose token tasks carry, and its audience; `None`: none.
    pub identity: Option<(String, String)>,
}

impl Config {
    /// Reads the settings, and reports every bad variable at once.
    pub fn from_env(env: &Env) -> Result<Self, EnvError> {
        let mut read = env.read();
        let catalog = read.or("PIPAS_CATALOG", "the path of pipas.yaml", PathBuf::from("/etc/pipas/pipas.yaml"));
        let project = read.required("GOOGLE_CLOUD_PROJECT", "a project id");
        let bucket = read.required("PIPAS_REGISTRY_BUCKET", "the name of a bucket");
        let queue: Option<String> =
            read.required("PIPAS_TASKS_QUEUE", "a queue: projects/PROJECT/locations/LOCATION/queues/QUEUE");
        if queue.as_deref().is_some_and(|queue| !is_queue(queue)) {
            read.problem("PIPAS_TASKS_QUEUE", "expected projects/PROJECT/locations/LOCATION/queues/QUEUE");
        }
        let pubsub_endpoint = read.url("PIPAS_PUBSUB_ENDPOINT");
        let storage_endpoint = read.url("PIPAS_STORAGE_ENDPOINT");
        let tasks_endpoint = read.url("PIPAS_TASKS_ENDPOINT");
        let poller = read.required_url("PIPAS_POLLER_URL", "the poller's own URL");
        let auth = OidcConfig::from_env(
            &mut read,
            "the audience of the token",
            "the e-mail address of the caller's service account",
        );
        read.finish()?;
        let identity = auth.as_ref().map(|auth| (auth.service_account.clone(), auth.audience.clone()));
        Ok(Self {
            catalog,
            pubsub: PubSubConfig { project: project.unwrap_or_default(), endpoint: pubsub_endpoint },
            store: StoreConfig { bucket: bucket.unwrap_or_default(), endpoint: storage_endpoint },
            tasks: TasksConfig {
                queue: queue.unwrap_or_default(),
                endpoint: tasks_endpoint,
                poller: poller.unwrap_or_default().trim_end_matches('/').to_owned(),
                identity,
            },
            auth,
            env: env.clone(),
        })
    }
}

fn is_queue(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    matches!(parts.as_slice(), ["projects", project, "locations", location, "queues", queue]
        if [project, location, queue].iter().all(|part| !part.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_carry_the_token_that_the_poller_asks_for() {
        let env = Env::from_pairs([
            ("GOOGLE_CLOUD_PROJECT", "p"),
            ("PIPAS_REGISTRY_BUCKET", "b"),
            ("PIPAS_TASKS_QUEUE", "projects/p/locations/l/queues/polls"),
            ("PIPAS_POLLER_URL", "https://poller.example/"),
            ("PIPAS_PUSH_AUDIENCE", "https://poller.example"),
            ("PIPAS_PUSH_SERVICE_ACCOUNT", "caller@p.example"),
        ]);
        let config = Config::from_env(&env).expect("a config");
        assert_eq!(config.tasks.identity, Some(("caller@p.example".into(), "https://poller.example".into())));
        assert_eq!(config.tasks.poller, "https://poller.example");
    }

    #[test]
    fn bad_variables_are_reported_together() {
        let env = Env::from_pairs([
            ("PIPAS_TASKS_QUEUE", "polls"),
            ("PIPAS_POLLER_URL", "poller"),
            ("PIPAS_TASKS_ENDPOINT", "localhost:1"),
            ("PIPAS_PUSH_AUTH", "maybe"),
        ]);
        insta::assert_snapshot!(Config::from_env(&env).expect_err("six problems"), @r"
        the environment has 6 bad variable(s):
          GOOGLE_CLOUD_PROJECT: is not set; expected a project id
          PIPAS_REGISTRY_BUCKET: is not set; expected the name of a bucket
          PIPAS_TASKS_QUEUE: expected projects/PROJECT/locations/LOCATION/queues/QUEUE
          PIPAS_TASKS_ENDPOINT: expected a URL that starts with http:// or https://
          PIPAS_POLLER_URL: expected a URL that starts with http:// or https://
          PIPAS_PUSH_AUTH: expected `oidc` or `none`, found `maybe`
        ");
    }
}
