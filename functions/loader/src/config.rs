use std::{path::PathBuf, str::FromStr, time::Duration};

use exactly_once::Limits;
use jiff::SignedDuration;
use objects::StoreConfig;
use pubsub::OidcConfig;
use rows::MaskKey;
use secrecy::SecretString;
use service::{Env, EnvError, EnvReader};

/// The loader's settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// The path of `pipas.yaml`.
    pub catalog: PathBuf,
    /// The project of the tables.
    pub project: String,
    /// The URL of BigQuery's REST API; `None`: Google's.
    pub bigquery_endpoint: Option<String>,
    /// The URL of the Storage Write API; `None`: Google's.
    pub storage_endpoint: Option<String>,
    /// Where claims are kept.
    pub ledger: LedgerConfig,
    /// The bucket of the registry of write streams; `None`: none is kept, and a failover of the ledger may write an event twice.
    pub registry: Option<StoreConfig>,
    /// How long a write stream may be idle before the janitor ends it.
    pub janitor_idle: Duration,
    /// How long the repair of one table may keep the others waiting after the ledger lost claims.
    pub recovery_limit: Duration,
    /// Whose token a push must carry; `None`: nobody's.
    pub auth: Option<OidcConfig>,
    /// The key of masks that hash; `None`: the catalog must have none.
    pub mask_key: Option<MaskKey>,
    /// Bytes of all deliveries that are being read or wait for their answer; over it a push is refused with 429.
    pub buffer_bytes: usize,
    /// The sizes and times of the protocol. The window is each stream's own.
    pub limits: Limits,
    /// Take over claims without finalizing the write stream they name, which loses and doubles rows.
    #[cfg(feature = "unfenced")]
    pub unfenced: bool,
}

/// Where claims are kept.
#[derive(Debug, Clone)]
pub enum LedgerConfig {
    /// In Redis, for any number of loaders.
    Redis {
        /// The server, with its password: not shown.
        url: SecretString,
        /// The PEM file of those who may have signed the server's certificate; `None`: the system's authorities.
        authority: Option<PathBuf>,
        /// Over how many hash slots keys are spread.
        buckets: u8,
    },
    /// In this process, which is the only loader.
    InProcess {
        /// The folder that keeps the ledger over a restart; `None`: nothing does.
        journal: Option<PathBuf>,
    },
}

/// A time as people write it: `90s`, `1m 30s`, `500ms`.
#[derive(Debug, Clone, Copy)]
struct Span(Duration);

impl FromStr for Span {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(Duration::try_from(text.parse::<SignedDuration>()?)?))
    }
}

const MIB: usize = 1 << 20;

impl Config {
    /// Reads the settings, and reports every bad variable at once.
    pub fn from_env(env: &Env) -> Result<Self, EnvError> {
        let mut read = env.read();
        let catalog = read.or("PIPAS_CATALOG", "the path of pipas.yaml", PathBuf::from("/etc/pipas/pipas.yaml"));
        let project = read.required("GOOGLE_CLOUD_PROJECT", "a project id");
        let bigquery_endpoint = read.url("PIPAS_BIGQUERY_ENDPOINT");
        let storage_endpoint = read.url("PIPAS_BIGQUERY_STORAGE_ENDPOINT");
        let ledger = ledger(&mut read);
        let bucket: Option<String> = read.optional("PIPAS_REGISTRY_BUCKET", "the name of a bucket");
        let endpoint = read.url("PIPAS_STORAGE_ENDPOINT");
        let registry = bucket.map(|bucket| StoreConfig { bucket, endpoint });
        let janitor_idle = span(&mut read, "PIPAS_JANITOR_IDLE", Duration::from_secs(30 * 60));
        let recovery_limit = span(&mut read, "PIPAS_RECOVERY_LIMIT", Duration::from_secs(60));
        let auth = OidcConfig::from_env(
            &mut read,
            "the audience of the push token",
            "the e-mail address of the subscriptions' service account",
        );
        let mask_key = read.secret("PIPAS_MASK_KEY", |key| MaskKey::new(&key.into()));
        let buffer_bytes = read.or("PIPAS_LOADER_BUFFER_BYTES", "a number of bytes", 128 * MIB);
        if buffer_bytes < 32 * MIB || u32::try_from(buffer_bytes).is_err() {
            read.problem(
                "PIPAS_LOADER_BUFFER_BYTES",
                format!("expected {} to {}, found {buffer_bytes}", 32 * MIB, u32::MAX),
            );
        }
        let limits = limits(&mut read);
        read.finish()?;
        let project = project.unwrap_or_default();
        Ok(Self {
            catalog,
            project,
            bigquery_endpoint,
            storage_endpoint,
            ledger,
            registry,
            janitor_idle,
            recovery_limit,
            auth,
            mask_key,
            buffer_bytes,
            limits,
            #[cfg(feature = "unfenced")]
            unfenced: false,
        })
    }
}

fn ledger(read: &mut EnvReader<'_>) -> LedgerConfig {
    let url: Option<String> = read.optional("PIPAS_REDIS_URL", "the URL of a Redis server");
    let buckets = read.or("PIPAS_REDIS_BUCKETS", "a number from 1 to 255", 1);
    if buckets == 0 {
        read.problem("PIPAS_REDIS_BUCKETS", "expected a number from 1 to 255, found 0");
    }
    let authority: Option<PathBuf> = read.optional("PIPAS_REDIS_CA", "the path of a PEM file");
    if authority.is_some() && !url.as_ref().is_some_and(|url| url.starts_with("rediss://")) {
        read.problem("PIPAS_REDIS_CA", "is for a server with TLS, and PIPAS_REDIS_URL does not begin with rediss://");
    }
    let journal: Option<PathBuf> = read.optional("PIPAS_LEDGER_JOURNAL", "the path of a folder");
    if journal.is_some() && url.is_some() {
        read.problem("PIPAS_LEDGER_JOURNAL", "is for a ledger in the process, and PIPAS_REDIS_URL names another");
    }
    if journal.is_some() && !cfg!(feature = "journal") {
        read.problem("PIPAS_LEDGER_JOURNAL", "this build keeps no journal (feature `journal`)");
    }
    match url {
        Some(url) => LedgerConfig::Redis { url: url.into(), authority, buckets },
        None => LedgerConfig::InProcess { journal },
    }
}

fn span(read: &mut EnvReader<'_>, name: &'static str, default: Duration) -> Duration {
    let found = read.or(name, "a time such as `90s` or `500ms`", Span(default)).0;
    if found.is_zero() {
        read.problem(name, "expected a time longer than zero");
    }
    found
}

/// The times of the protocol. Where only the suspicion age is given, an owner gives up in half of it.
fn limits(read: &mut EnvReader<'_>) -> Limits {
    let default = Limits::default();
    let hold = span(read, "PIPAS_HOLD", default.hold);
    let suspect_after = span(read, "PIPAS_SUSPECT_AFTER", default.suspect_after);
    let append_limit = span(read, "PIPAS_APPEND_LIMIT", suspect_after / 2);
    if append_limit >= suspect_after {
        read.problem(
            "PIPAS_SUSPECT_AFTER",
            "expected more than PIPAS_APPEND_LIMIT, so that no healthy owner is fenced",
        );
    }
    Limits { hold, suspect_after, append_limit, ..default }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_that_is_needed() {
        let env = Env::from_pairs([("GOOGLE_CLOUD_PROJECT", "p"), ("PIPAS_PUSH_AUTH", "none")]);
        let config = Config::from_env(&env).expect("a config");
        assert!(matches!(config.ledger, LedgerConfig::InProcess { journal: None }));
        assert_eq!(config.auth, None);
        assert_eq!(config.limits, Limits::default());
    }

    #[test]
    fn times_are_written_as_people_do() {
        let env = Env::from_pairs([
            ("GOOGLE_CLOUD_PROJECT", "p"),
            ("PIPAS_PUSH_AUTH", "none"),
            ("PIPAS_SUSPECT_AFTER", "1m 30s"),
            ("PIPAS_HOLD", "500ms"),
        ]);
        let limits = Config::from_env(&env).expect("a config").limits;
        assert_eq!((limits.suspect_after.as_secs(), limits.append_limit.as_secs()), (90, 45));
        assert_eq!(limits.hold.as_millis(), 500);
    }

    #[test]
    fn bad_variables_are_reported_together() {
        let env = Env::from_pairs([
            ("PIPAS_BIGQUERY_ENDPOINT", "localhost:1"),
            ("PIPAS_REDIS_URL", "redis://localhost"),
            ("PIPAS_REDIS_BUCKETS", "0"),
            ("PIPAS_REDIS_CA", "/etc/ca.pem"),
            ("PIPAS_LOADER_BUFFER_BYTES", "1"),
            ("PIPAS_SUSPECT_AFTER", "soon"),
            ("PIPAS_APPEND_LIMIT", "2m"),
            ("PIPAS_MASK_KEY", "too short"),
        ]);
        insta::assert_snapshot!(Config::from_env(&env).expect_err("problems"), @r"
        the environment has 10 bad variable(s):
          GOOGLE_CLOUD_PROJECT: is not set; expected a project id
          PIPAS_BIGQUERY_ENDPOINT: expected a URL that starts with http:// or https://
          PIPAS_REDIS_BUCKETS: expected a number from 1 to 255, found 0
          PIPAS_REDIS_CA: is for a server with TLS, and PIPAS_REDIS_URL does not begin with rediss://
          PIPAS_PUSH_AUDIENCE: is not set; expected the audience of the push token
          PIPAS_PUSH_SERVICE_ACCOUNT: is not set; expected the e-mail address of the subscriptions' service account
          PIPAS_MASK_KEY: expected a key of at least 16 bytes, found 9
          PIPAS_LOADER_BUFFER_BYTES: expected 33554432 to 4294967295, found 1
          PIPAS_SUSPECT_AFTER: expected a time such as `90s` or `500ms`, found `soon`
          PIPAS_SUSPECT_AFTER: expected more than PIPAS_APPEND_LIMIT, so that no healthy owner is fenced
        ");
    }

    #[test]
    fn the_ledgers_password_is_not_shown() {
        let env = Env::from_pairs([
            ("GOOGLE_CLOUD_PROJECT", "p"),
            ("PIPAS_PUSH_AUTH", "none"),
            ("PIPAS_REDIS_URL", "redis://:hunter2@localhost"),
        ]);
        assert!(!format!("{:?}", Config::from_env(&env).expect("a config")).contains("hunter2"));
    }
}
