//! The check of push requests, against a key server on a port.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    encoding::AsDer,
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use axum::{Router, routing::get};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{StatusCode, header};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use pubsub::{OidcConfig, PushAuth, PushAuthError};
use serde_json::{Value, json};

const AUDIENCE: &str = "https://loader.example";
const ACCOUNT: &str = "pusher@p.iam.gserviceaccount.com";

/// An RSA key: to sign with, and as the key server lists it.
struct Key {
    signs: EncodingKey,
    listed: Value,
    public_der: Vec<u8>,
}

impl Key {
    fn new(id: &str) -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key");
        let pkcs8 = pair.as_der().expect("DER");
        // The PKCS #8 wrapping of an RSA key of this size is 26 bytes before the key itself.
        let signs = EncodingKey::from_rsa_der(&pkcs8.as_ref()[26..]);
        let public = pair.public_key();
        let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let listed = json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": id,
            "n": number(public.modulus().big_endian_without_leading_zero()),
            "e": number(public.exponent().big_endian_without_leading_zero()),
        });
        Self { signs, listed, public_der: public.as_ref().to_vec() }
    }

    fn sign(&self, id: Option<&str>, claims: &Value) -> String {
        let header = Header { kid: id.map(str::to_owned), ..Header::new(Algorithm::RS256) };
        format!("Bearer {}", encode(&header, claims, &self.signs).expect("a token"))
    }
}

/// A server of keys.
struct KeyServer {
    url: String,
    keys: Arc<Mutex<Vec<Value>>>,
    asked: Arc<AtomicUsize>,
    down: Arc<AtomicBool>,
}

impl KeyServer {
    async fn start(keys: &[&Key], cache_control: &'static str) -> Self {
        let keys = Arc::new(Mutex::new(keys.iter().map(|key| key.listed.clone()).collect::<Vec<_>>()));
        let (asked, down) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (served, count, refuse) = (Arc::clone(&keys), Arc::clone(&asked), Arc::clone(&down));
        let certs = get(async move || {
            count.fetch_add(1, Ordering::SeqCst);
            if refuse.load(Ordering::SeqCst) {
                return Err(StatusCode::SERVICE_UNAVAILABLE);
            }
            let body = json!({ "keys": *served.lock().expect("no panic") }).to_string();
            Ok(([(header::CACHE_CONTROL, cache_control)], body))
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/certs", listener.local_addr().expect("an address"));
        tokio::spawn(async { axum::serve(listener, Router::new().route("/certs", certs)).await });
        Self { url, keys, asked, down }
    }

    fn auth(&self) -> PushAuth {
        let config = OidcConfig { jwks_url: self.url.clone(), ..OidcConfig::google(AUDIENCE, ACCOUNT) };
        PushAuth::oidc(&config).expect("a check")
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn claims() -> Value {
    json!({
        "iss": "https://accounts.google.com", "aud": AUDIENCE, "sub": "1", "email": ACCOUNT, "email_verified": true,
        "iat": now(), "exp": now() + 3600,
    })
}

/// Good claims but for one.
fn but(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().expect("an object").remove(name);
    claims
}

#[tokio::test]
async fn a_genuine_token_is_let_through_and_its_key_is_kept() {
    let key = Key::new("k1");
    let server = KeyServer::start(&[&key], "public, max-age=3600").await;
    let auth = server.auth();
    for claims in [claims(), but("iss", "accounts.google.com".into()), but("aud", json!([AUDIENCE, "other"]))] {
        assert_eq!(auth.verify(Some(&key.sign(Some("k1"), &claims))).await, Ok(()));
    }
    assert_eq!(server.asked(), 1, "the keys are fetched once");
    assert_eq!(PushAuth::None.verify(None).await, Ok(()));
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let (key, other) = (Key::new("k1"), Key::new("k1"));
    let server = KeyServer::start(&[&key], "max-age=3600").await;
    let auth = server.auth();
    let good = key.sign(Some("k1"), &claims());
    let (signed, _) = good.rsplit_once('.').expect("three parts");
    let hs256 = |secret: &[u8]| {
        let header = Header { kid: Some("k1".into()), ..Header::new(Algorithm::HS256) };
        format!("Bearer {}", encode(&header, &claims(), &EncodingKey::from_secret(secret)).expect("a token"))
    };
    let unsigned = |alg: &str| {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("Bearer {}.{}.", part(json!({ "alg": alg, "typ": "JWT", "kid": "k1" })), part(claims()))
    };
    let altered = {
        let mut parts: Vec<_> = good.split('.').map(str::to_owned).collect();
        parts[1] = URL_SAFE_NO_PAD.encode(but("email", "thief@p.iam.gserviceaccount.com".into()).to_string());
        parts.join(".")
    };
    let cases = [
        ("another key of the same id", other.sign(Some("k1"), &claims())),
        ("another audience", key.sign(Some("k1"), &but("aud", "https://other.example".into()))),
        ("no audience", key.sign(Some("k1"), &without("aud"))),
        ("another issuer", key.sign(Some("k1"), &but("iss", "https://issuer.example".into()))),
        ("no issuer", key.sign(Some("k1"), &without("iss"))),
        ("expired", key.sign(Some("k1"), &but("exp", (now() - 31).into()))),
        ("no expiry", key.sign(Some("k1"), &without("exp"))),
        ("issued in the future", key.sign(Some("k1"), &but("iat", (now() + 90).into()))),
        ("not issued", key.sign(Some("k1"), &without("iat"))),
        ("no key named", key.sign(None, &claims())),
        ("HS256 with the public key", hs256(&key.public_der)),
        ("HS256 with the listed modulus", hs256(key.listed["n"].as_str().expect("a number").as_bytes())),
        ("alg none", unsigned("none")),
        ("no signature", unsigned("RS256")),
        ("a cut signature", format!("{signed}.AAAA")),
        ("altered claims", altered),
        ("garbage", "Bearer garbage".into()),
        ("no scheme", good.trim_start_matches("Bearer ").to_owned()),
        ("another scheme", "Basic dXNlcjpwYXNz".into()),
        ("nothing", String::new()),
    ];
    for (what, authorization) in cases {
        let result = auth.verify(Some(&authorization)).await;
        assert!(matches!(result, Err(PushAuthError::Unauthenticated(_))), "{what}: {result:?}");
    }
    assert!(matches!(auth.verify(None).await, Err(PushAuthError::Unauthenticated(_))));
    assert_eq!(auth.verify(Some(&good)).await, Ok(()));
}

#[tokio::test]
async fn a_genuine_token_of_another_account_is_forbidden() {
    let key = Key::new("k1");
    let server = KeyServer::start(&[&key], "max-age=3600").await;
    let auth = server.auth();
    for claims in [
        but("email", "other@p.iam.gserviceaccount.com".into()),
        but("email_verified", false.into()),
        without("email_verified"),
        without("email"),
    ] {
        let result = auth.verify(Some(&key.sign(Some("k1"), &claims))).await;
        assert!(matches!(result, Err(PushAuthError::Forbidden(_))), "{claims}: {result:?}");
    }
}

#[tokio::test]
async fn clocks_may_differ_a_little() {
    let key = Key::new("k1");
    let server = KeyServer::start(&[&key], "max-age=3600").await;
    let auth = server.auth();
    for claims in [but("exp", (now() - 20).into()), but("iat", (now() + 20).into())] {
        assert_eq!(auth.verify(Some(&key.sign(Some("k1"), &claims))).await, Ok(()));
    }
}

#[tokio::test]
async fn unknown_keys_do_not_make_us_a_load() {
    let (key, unlisted) = (Key::new("k1"), Key::new("k2"));
    let server = KeyServer::start(&[&key], "max-age=3600").await;
    let auth = server.auth();
    assert_eq!(auth.verify(Some(&key.sign(Some("k1"), &claims()))).await, Ok(()));
    for _ in 0..50 {
        let result = auth.verify(Some(&unlisted.sign(Some("k2"), &claims()))).await;
        assert!(matches!(result, Err(PushAuthError::Unauthenticated(_))), "{result:?}");
    }
    assert_eq!(server.asked(), 1, "asked again only after a while");
}

#[tokio::test]
async fn keys_that_are_no_longer_fresh_are_fetched_again() {
    let (old, new) = (Key::new("old"), Key::new("new"));
    let server = KeyServer::start(&[&old], "max-age=0").await;
    let auth = server.auth();
    assert_eq!(auth.verify(Some(&old.sign(Some("old"), &claims()))).await, Ok(()));
    *server.keys.lock().expect("no panic") = vec![new.listed.clone()];
    // Stale keys do for a while; a new check has no while behind it.
    assert_eq!(auth.verify(Some(&old.sign(Some("old"), &claims()))).await, Ok(()));
    let fresh = server.auth();
    assert_eq!(fresh.verify(Some(&new.sign(Some("new"), &claims()))).await, Ok(()));
    let result = fresh.verify(Some(&old.sign(Some("old"), &claims()))).await;
    assert!(matches!(result, Err(PushAuthError::Unauthenticated(_))), "{result:?}");
}

#[tokio::test]
async fn without_keys_nothing_is_said_of_the_token() {
    let key = Key::new("k1");
    let server = KeyServer::start(&[&key], "max-age=0").await;
    let auth = server.auth();
    server.down.store(true, Ordering::SeqCst);
    let token = key.sign(Some("k1"), &claims());
    for _ in 0..2 {
        let result = auth.verify(Some(&token)).await;
        assert!(matches!(result, Err(PushAuthError::Unavailable(_))), "{result:?}");
    }
    server.down.store(false, Ordering::SeqCst);
    let deadline = Instant::now() + Duration::from_secs(10);
    while auth.verify(Some(&token)).await != Ok(()) {
        assert!(Instant::now() < deadline, "it does not recover");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.down.store(true, Ordering::SeqCst);
    assert_eq!(auth.verify(Some(&token)).await, Ok(()), "known keys outlive a short outage");
}
