//! Who sent a push request: the OIDC token that Pub/Sub adds
//! (<https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions>).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, StatusCode, header};
use jsonwebtoken::{Algorithm, Validation, decode, decode_header, errors::ErrorKind};
use reqwest::Url;
use serde::Deserialize;
use service::{EnvReader, problem::Problem};

use crate::jwks::{Jwks, KeyError};

/// Where Google publishes the keys of its tokens.
pub const GOOGLE_JWKS_URL: &str = "https://www.googleapis.com/oauth2/v3/certs";
/// Google's issuer.
pub const GOOGLE_ISSUER: &str = "https://accounts.google.com";

/// How far the two clocks may be apart.
const LEEWAY: Duration = Duration::from_secs(30);

/// What a token must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcConfig {
    /// The audience that the subscription was given.
    pub audience: String,
    /// The e-mail address of the subscription's service account.
    pub service_account: String,
    /// The issuer; a token may name it with or without `https://`.
    pub issuer: String,
    /// Where the issuer's keys are.
    pub jwks_url: String,
}

impl OidcConfig {
    /// Google's issuer and keys.
    pub fn google(audience: impl Into<String>, service_account: impl Into<String>) -> Self {
        Self {
            audience: audience.into(),
            service_account: service_account.into(),
            issuer: GOOGLE_ISSUER.to_owned(),
            jwks_url: GOOGLE_JWKS_URL.to_owned(),
        }
    }

    /// What `PIPAS_PUSH_AUTH` and its kin say; `None`: `none`, or a problem was noted. `audience` and `service_account` say whose
    /// they are expected to be.
    pub fn from_env(read: &mut EnvReader<'_>, audience: &'static str, service_account: &'static str) -> Option<Self> {
        let kind = read.or("PIPAS_PUSH_AUTH", "`oidc` or `none`", "oidc".to_owned());
        match kind.as_str() {
            "none" => None,
            "oidc" => Some(Self {
                audience: read.required("PIPAS_PUSH_AUDIENCE", audience).unwrap_or_default(),
                service_account: read.required("PIPAS_PUSH_SERVICE_ACCOUNT", service_account).unwrap_or_default(),
                issuer: read.or("PIPAS_PUSH_ISSUER", "an issuer", GOOGLE_ISSUER.to_owned()),
                jwks_url: read.or("PIPAS_PUSH_JWKS_URL", "a URL", GOOGLE_JWKS_URL.to_owned()),
            }),
            other => {
                read.problem("PIPAS_PUSH_AUTH", format!("expected `oidc` or `none`, found `{other}`"));
                None
            }
        }
    }
}

/// The check of push requests.
#[derive(Debug)]
pub enum PushAuth {
    /// Every request is let through. For a machine that only its owner can reach.
    None,
    /// A request must carry a token of the subscription's service account.
    Oidc(Box<Oidc>),
}

/// A check of tokens.
#[derive(Debug)]
pub struct Oidc {
    service_account: String,
    validation: Validation,
    jwks: Jwks,
}

/// The check could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PushAuthConfigError {
    /// The URL of the keys is none.
    #[error("the URL of the key set is malformed: {0}")]
    Url(String),
    /// The HTTP client could not be made.
    #[error("the HTTP client could not be made")]
    Http(#[source] reqwest::Error),
}

/// Why a push request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PushAuthError {
    /// There is no token, or it is not one of the issuer's for us now: 401.
    #[error("the request is not authenticated: {0}")]
    Unauthenticated(String),
    /// The token is genuine, but another account's: 403.
    #[error("the account may not push: {0}")]
    Forbidden(String),
    /// The issuer's keys cannot be had, so nothing can be said of the token: 503.
    #[error("the token cannot be checked now: {0}")]
    Unavailable(String),
}

impl PushAuthError {
    /// How the request is answered, but for the detail.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Unauthenticated(_) => {
                Problem::new(StatusCode::UNAUTHORIZED, "urn:pipas:problem:unauthenticated", "Unauthenticated")
                    .header(header::WWW_AUTHENTICATE, "Bearer")
            }
            Self::Forbidden(_) => Problem::new(StatusCode::FORBIDDEN, "urn:pipas:problem:forbidden", "Forbidden"),
            Self::Unavailable(_) => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "urn:pipas:problem:unavailable", "Unavailable")
                    .retry_after(5)
            }
        }
    }
}

#[derive(Deserialize)]
struct Claims {
    email: Option<String>,
    #[serde(default)]
    email_verified: bool,
    iat: Option<u64>,
}

impl PushAuth {
    /// A check by the token of Pub/Sub's push requests.
    pub fn oidc(config: &OidcConfig) -> Result<Self, PushAuthConfigError> {
        let url = Url::parse(&config.jwks_url).map_err(|error| PushAuthConfigError::Url(error.to_string()))?;
        let mut validation = Validation::new(Algorithm::RS256);
        validation.leeway = LEEWAY.as_secs();
        validation.validate_nbf = true;
        validation.set_audience(&[&config.audience]);
        let bare = config.issuer.strip_prefix("https://").unwrap_or(&config.issuer);
        validation.set_issuer(&[config.issuer.as_str(), bare]);
        validation.set_required_spec_claims(&["exp", "aud", "iss"]);
        let jwks = Jwks::new(url).map_err(PushAuthConfigError::Http)?;
        Ok(Self::Oidc(Box::new(Oidc { service_account: config.service_account.clone(), validation, jwks })))
    }

    /// Checks who sent a request with these headers.
    pub async fn verify_headers(&self, headers: &HeaderMap) -> Result<(), PushAuthError> {
        self.verify(headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok())).await
    }

    /// Checks the `Authorization` header of a push request.
    pub async fn verify(&self, authorization: Option<&str>) -> Result<(), PushAuthError> {
        match self {
            Self::None => Ok(()),
            Self::Oidc(oidc) => oidc.verify(authorization).await,
        }
    }
}

impl Oidc {
    async fn verify(&self, authorization: Option<&str>) -> Result<(), PushAuthError> {
        use PushAuthError::{Forbidden, Unauthenticated, Unavailable};
        let authorization =
            authorization.ok_or_else(|| Unauthenticated("there is no Authorization header".to_owned()))?;
        let token = bearer(authorization).ok_or_else(|| Unauthenticated("it is not `Bearer <token>`".to_owned()))?;
        let header = decode_header(token).map_err(|error| Unauthenticated(format!("it is no token: {error}")))?;
        // Said before a key is asked for: a token signed otherwise must not make us fetch anything.
        if header.alg != Algorithm::RS256 {
            return Err(Unauthenticated(format!("the token is signed by {:?}, not RS256", header.alg)));
        }
        let id = header.kid.ok_or_else(|| Unauthenticated("the token names no key".to_owned()))?;
        let key = self.jwks.key(&id).await.map_err(|error| match error {
            KeyError::Unknown => Unauthenticated(error.to_string()),
            KeyError::Unreachable(_) => Unavailable(error.to_string()),
        })?;
        let claims = decode::<Claims>(token, &key, &self.validation)
            .map_err(|error| Unauthenticated(said(error.kind()).to_owned()))?
            .claims;
        if claims.iat.is_none_or(|iat| iat > now() + LEEWAY.as_secs()) {
            return Err(Unauthenticated("the token has no time of issue, or one to come".to_owned()));
        }
        match claims.email {
            Some(email) if email == self.service_account && claims.email_verified => Ok(()),
            Some(email) if email == self.service_account => Err(Forbidden(format!("{email} is not verified"))),
            Some(email) => Err(Forbidden(format!("the token is {email}'s"))),
            None => Err(Forbidden("the token names no account".to_owned())),
        }
    }
}

/// The token of a `Bearer` header; the scheme's name is read in any case (RFC 9110, 11.1).
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn said(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidSignature => "the signature is not the key's",
        ErrorKind::ExpiredSignature => "the token has expired",
        ErrorKind::ImmatureSignature => "the token is not yet valid",
        ErrorKind::InvalidAudience => "the token is for another audience",
        ErrorKind::InvalidIssuer => "the token is another issuer's",
        ErrorKind::MissingRequiredClaim(_) => "the token lacks a claim",
        _ => "it is no token",
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
