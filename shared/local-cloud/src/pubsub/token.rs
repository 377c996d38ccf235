//! The bearer tokens of push requests, and the keys that they verify against.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::{KeyPair, KeySize, PublicKeyComponents},
    signature::{KeyPair as _, RSA_PKCS1_SHA256},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hashbrown::HashMap;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::OnceCell;

use super::config::Oidc;

/// Who issues the tokens, as Google's own say.
const ISSUER: &str = "https://accounts.google.com";
/// How long a token is good for, in seconds.
const LIFE: u64 = 3600;
/// A token is made anew when less than this is left of it, in seconds.
const RENEW: u64 = 600;

/// Signs tokens with a key that is made when it is first needed, and lives as long as the process.
#[derive(Default)]
pub(crate) struct Signer {
    key: OnceCell<Arc<Key>>,
    issued: Mutex<HashMap<Oidc, Issued>>,
}

struct Key {
    pair: KeyPair,
    id: String,
}

struct Issued {
    authorization: Arc<str>,
    expires: u64,
}

impl Signer {
    /// The `Authorization` header for a push; made once and used until it is nearly over.
    pub(crate) async fn authorization(&self, oidc: &Oidc) -> anyhow::Result<Arc<str>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if let Some(issued) = self.issued.lock().get(oidc).filter(|issued| issued.expires > now + RENEW) {
            return Ok(issued.authorization.clone());
        }
        let key = self.key().await?;
        let authorization: Arc<str> = format!("Bearer {}", key.token(oidc, now)?).into();
        let issued = Issued { authorization: authorization.clone(), expires: now + LIFE };
        self.issued.lock().insert(oidc.clone(), issued);
        Ok(authorization)
    }

    /// The public key, as a JSON Web Key Set (RFC 7517).
    pub(super) async fn key_set(&self) -> anyhow::Result<serde_json::Value> {
        let key = self.key().await?;
        let public: PublicKeyComponents<Vec<u8>> = key.pair.public_key().into();
        Ok(json!({ "keys": [{
            "kty": "RSA",
            "alg": "RS256",
            "use": "sig",
            "kid": key.id,
            "n": URL_SAFE_NO_PAD.encode(&public.n),
            "e": URL_SAFE_NO_PAD.encode(&public.e),
        }] }))
    }

    async fn key(&self) -> anyhow::Result<Arc<Key>> {
        let make = || async { tokio::task::spawn_blocking(Key::generate).await?.map(Arc::new) };
        self.key.get_or_try_init(make).await.cloned()
    }
}

impl Key {
    fn generate() -> anyhow::Result<Self> {
        let pair = KeyPair::generate(KeySize::Rsa2048).context("making an RSA key")?;
        let public = pair.public_key().as_der().context("encoding an RSA key")?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, public.as_ref());
        Ok(Self { pair, id: digest.as_ref().iter().take(20).map(|byte| format!("{byte:02x}")).collect() })
    }

    fn token(&self, oidc: &Oidc, now: u64) -> anyhow::Result<String> {
        let header = json!({ "alg": "RS256", "kid": self.id, "typ": "JWT" });
        let subject = subject(&oidc.email);
        let claims = json!({
            "iss": ISSUER,
            "aud": oidc.audience,
            "azp": subject,
            "sub": subject,
            "email": oidc.email,
            "email_verified": true,
            "iat": now,
            "exp": now + LIFE,
        });
        let encode = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let mut token = format!("{}.{}", encode(&header), encode(&claims));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), token.as_bytes(), &mut signature)
            .context("signing a push token")?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

/// A service account's number: 21 digits that stay the same for one address.
fn subject(email: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, email.as_bytes());
    let number = digest.as_ref().iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    format!("1{number:020}")
}
