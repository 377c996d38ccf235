//! How a value is hidden.

use std::{borrow::Cow, fmt, net::IpAddr};

use catalog::Mask;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// The key of masks that hash. Its `Debug` does not show it.
#[derive(Clone)]
pub struct MaskKey(Option<Hmac<Sha256>>);

/// A text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a key of at least {least} bytes, found {found}", least = MaskKey::MIN_BYTES)]
pub struct MaskKeyError {
    found: usize,
}

impl MaskKey {
    /// The shortest key.
    pub const MIN_BYTES: usize = 16;
    /// The length of a hash.
    const HASH_CHARS: usize = 64;

    /// The key of a deployment. Another key gives other hashes, so that it is kept as long as the rows are.
    pub fn new(key: &SecretString) -> Result<Self, MaskKeyError> {
        let key = key.expose_secret().as_bytes();
        let short = MaskKeyError { found: key.len() };
        if key.len() < Self::MIN_BYTES {
            return Err(short);
        }
        Hmac::new_from_slice(key).map(|hmac| Self(Some(hmac))).map_err(|_| short)
    }

    /// No key: each hash is 64 zeros. For checks, which must not tell what a guessed value would be hashed to.
    pub fn none() -> Self {
        Self(None)
    }

    fn hash(&self, text: &str) -> String {
        let Some(keyed) = &self.0 else { return "0".repeat(Self::HASH_CHARS) };
        let hash = keyed.clone().chain_update(text).finalize().into_bytes();
        let mut hex = String::with_capacity(Self::HASH_CHARS);
        for byte in hash {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            hex.push(DIGITS[usize::from(byte >> 4)].into());
            hex.push(DIGITS[usize::from(byte & 15)].into());
        }
        hex
    }
}

impl fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "MaskKey(set)" } else { "MaskKey(none)" })
    }
}

/// What becomes of a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Masked<'a> {
    /// This text.
    Text(Cow<'a, str>),
    /// Nothing.
    Null,
    /// It is no text that the mask is for.
    Unfit,
}

/// Masks the scalar `text`. `is_masked`: it was perhaps masked before, as dead letters that are sent again were; what looks
/// like a hash is taken for one.
pub(crate) fn apply<'a>(mask: Mask, text: &'a str, key: &MaskKey, is_masked: bool) -> Masked<'a> {
    match mask {
        Mask::Drop => Masked::Null,
        Mask::Hash if is_masked && is_hash(text) => Masked::Text(Cow::Borrowed(text)),
        Mask::Hash => Masked::Text(Cow::Owned(key.hash(text))),
        Mask::TruncateIp => match text.trim().parse() {
            Ok(address) => Masked::Text(Cow::Owned(network(address))),
            Err(_) => Masked::Unfit,
        },
    }
}

fn is_hash(text: &str) -> bool {
    text.len() == MaskKey::HASH_CHARS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The /24 of IPv4, the /48 of IPv6; an IPv4 address inside IPv6 is one of IPv4.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            std::net::Ipv4Addr::new(a, b, c, 0).to_string()
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            std::net::Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> MaskKey {
        MaskKey::new(&text.into()).expect("a key")
    }

    #[test]
    fn hashes_are_hmac_sha256() {
        let long = key(&"\u{2a}".repeat(20));
        let hash = long.hash("x");
        assert_eq!(hash.len(), 64);
        assert_ne!(hash, key("another key, as long").hash("x"));
        // echo -n 'what do ya want for nothing?' | openssl dgst -sha256 -hmac 'JefeJefeJefeJefe'
        assert_eq!(
            key("JefeJefeJefeJefe").hash("what do ya want for nothing?"),
            "2ccd85dfc8d18cb5d84fef4b198554699fece6e8692c9147b0da983f5b7bd413"
        );
    }

    #[test]
    fn a_masked_hash_stays_what_it_is() {
        let key = key("sixteen bytes and more");
        let hash = key.hash("a");
        assert_eq!(apply(Mask::Hash, &hash, &key, true), Masked::Text(Cow::Borrowed(&hash)));
        assert_eq!(apply(Mask::Hash, &hash, &key, false), Masked::Text(Cow::Owned(key.hash(&hash))));
        assert_eq!(apply(Mask::Hash, "a", &key, true), Masked::Text(Cow::Owned(hash)));
    }

    #[test]
    fn addresses_keep_their_networks() {
        let key = MaskKey::none();
        for (address, network) in [
            ("192.168.17.23", "192.168.17.0"),
            (" 10.0.0.1 ", "10.0.0.0"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
            ("::ffff:1.2.3.4", "1.2.3.0"),
        ] {
            assert_eq!(apply(Mask::TruncateIp, address, &key, false), Masked::Text(Cow::Owned(network.to_owned())));
        }
        for unfit in ["", "localhost", "1.2.3", "1.2.3.4, 5.6.7.8"] {
            assert_eq!(apply(Mask::TruncateIp, unfit, &key, false), Masked::Unfit, "{unfit}");
        }
    }

    #[test]
    fn a_key_is_neither_short_nor_shown() {
        assert_eq!(MaskKey::new(&"short".into()).map(|_| ()), Err(MaskKeyError { found: 5 }));
        assert_eq!(format!("{:?}", key("sixteen bytes and more")), "MaskKey(set)");
    }
}
