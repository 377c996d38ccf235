//! Google's public keys: fetched when they are needed, kept as long as the answer says, and asked for again when a token
//! names a key that is not among them, but seldom.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use http::header::CACHE_CONTROL;
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{JwkSet, KeyAlgorithm, PublicKeyUse},
};
use parking_lot::RwLock;
use reqwest::Url;
use tokio::sync::Mutex;

/// How long keys are kept where the answer does not say.
const DEFAULT_AGE: Duration = Duration::from_secs(300);
/// The longest that keys are kept, whatever the answer says.
const LONGEST_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long keys are used beyond their age while new ones cannot be fetched.
const GRACE: Duration = Duration::from_secs(60 * 60);
/// The least time between two fetches, so that forged tokens cannot make us a load.
const SELDOM: Duration = Duration::from_secs(10);
/// The same after a fetch that failed: those who wait for keys are all told, and not one after another after a time limit each.
const SELDOM_FAILED: Duration = Duration::from_secs(1);
/// How long a fetch may take.
const FETCH_LIMIT: Duration = Duration::from_secs(5);
/// The largest key set that is read.
const MAX_BYTES: usize = 1 << 20;

/// The keys of one issuer.
#[derive(Debug)]
pub(crate) struct Jwks {
    url: Url,
    http: reqwest::Client,
    keys: RwLock<Option<Arc<Keys>>>,
    /// The last fetch; held while one is under way.
    last: Mutex<Option<Fetched>>,
}

#[derive(Debug)]
struct Fetched {
    at: Instant,
    error: Option<String>,
}

impl Fetched {
    fn is_enough(&self) -> bool {
        self.at.elapsed() < if self.error.is_some() { SELDOM_FAILED } else { SELDOM }
    }
}

#[derive(Debug)]
struct Keys {
    by_id: HashMap<String, DecodingKey>,
    fresh_until: Instant,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// The issuer has no such key.
    #[error("no key has the id that the token names")]
    Unknown,
    /// The issuer's keys cannot be had now.
    #[error("the key set cannot be fetched: {0}")]
    Unreachable(String),
}

impl Jwks {
    pub(crate) fn new(url: Url) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder().timeout(FETCH_LIMIT).build()?;
        Ok(Self { url, http, keys: RwLock::new(None), last: Mutex::new(None) })
    }

    /// The RSA key `id`.
    pub(crate) async fn key(&self, id: &str) -> Result<DecodingKey, KeyError> {
        if let Some(key) = self.known(id, Duration::ZERO) {
            return Ok(key);
        }
        let mut last = self.last.lock().await;
        // Another task may have fetched it while this one waited.
        if let Some(key) = self.known(id, Duration::ZERO) {
            return Ok(key);
        }
        if !last.as_ref().is_some_and(Fetched::is_enough) {
            let fetched = self.fetch().await;
            let error = fetched.map(|keys| *self.keys.write() = Some(Arc::new(keys))).err();
            *last = Some(Fetched { at: Instant::now(), error });
        }
        self.known(id, GRACE).ok_or_else(|| match last.as_ref().and_then(|last| last.error.clone()) {
            Some(error) => KeyError::Unreachable(error),
            None => KeyError::Unknown,
        })
    }

    fn known(&self, id: &str, grace: Duration) -> Option<DecodingKey> {
        let keys = self.keys.read().clone()?;
        (Instant::now() < keys.fresh_until + grace).then(|| keys.by_id.get(id).cloned())?
    }

    async fn fetch(&self) -> Result<Keys, String> {
        let read = async {
            let mut response = self.http.get(self.url.clone()).send().await?.error_for_status()?;
            let cache_control = response.headers().get(CACHE_CONTROL).and_then(|value| value.to_str().ok());
            let age = cache_control.and_then(max_age).unwrap_or(DEFAULT_AGE).min(LONGEST_AGE);
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await? {
                body.extend_from_slice(&chunk);
                if body.len() > MAX_BYTES {
                    break;
                }
            }
            Ok::<_, reqwest::Error>((age, body))
        };
        let (age, body) = read.await.map_err(|error| error.without_url().to_string())?;
        if body.len() > MAX_BYTES {
            return Err(format!("the key set is larger than {MAX_BYTES} bytes"));
        }
        let set: JwkSet = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        let by_id: HashMap<_, _> = set.keys.iter().filter_map(rs256_key).collect();
        if by_id.is_empty() {
            return Err("the key set holds no RS256 key with an id".to_owned());
        }
        Ok(Keys { by_id, fresh_until: Instant::now() + age })
    }
}

/// A key that may verify RS256 signatures, and its id. Anything else that an issuer lists is not for us.
fn rs256_key(jwk: &jsonwebtoken::jwk::Jwk) -> Option<(String, DecodingKey)> {
    let common = &jwk.common;
    let for_signatures = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature));
    let for_rs256 = matches!(common.key_algorithm, None | Some(KeyAlgorithm::RS256));
    if !for_signatures || !for_rs256 {
        return None;
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    (key.family() == Algorithm::RS256.family()).then(|| Some((common.key_id.clone()?, key)))?
}

fn max_age(cache_control: &str) -> Option<Duration> {
    let directive = cache_control.split(',').find_map(|directive| directive.trim().strip_prefix("max-age="))?;
    directive.trim_matches('"').parse().ok().map(Duration::from_secs)
}
