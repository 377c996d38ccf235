//! The two checksums of every object, CRC32C and MD5, and what clients claim of them.

use base64::{Engine, prelude::BASE64_STANDARD};
use http::HeaderMap;
use serde_json::Value;

use super::error::{ApiError, ApiResult};

/// A running checksum over the bytes of an upload.
#[derive(Clone)]
pub(crate) struct Running {
    crc32c: u32,
    md5: md5::Context,
    size: u64,
}

/// The checksums of a whole object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checksums {
    pub(crate) crc32c: u32,
    pub(crate) md5: [u8; 16],
    pub(crate) size: u64,
}

/// What a client says the checksums are.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Claimed {
    crc32c: Option<String>,
    md5: Option<String>,
}

impl Running {
    pub(crate) fn new() -> Self {
        Self { crc32c: 0, md5: md5::Context::new(), size: 0 }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.crc32c = crc32c::crc32c_append(self.crc32c, bytes);
        self.md5.consume(bytes);
        self.size += bytes.len() as u64;
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn finish(self) -> Checksums {
        Checksums { crc32c: self.crc32c, md5: self.md5.finalize().0, size: self.size }
    }
}

/// The CRC32C as the API spells it: base64 of the big-endian bytes.
pub(crate) fn crc32c_text(crc32c: u32) -> String {
    BASE64_STANDARD.encode(crc32c.to_be_bytes())
}

/// The MD5 as the API spells it: base64.
pub(crate) fn md5_text(md5: &[u8; 16]) -> String {
    BASE64_STANDARD.encode(md5)
}

impl Claimed {
    /// The claims of an object resource: `crc32c`, `md5Hash`.
    pub(crate) fn from_resource(resource: &Value) -> Self {
        let text = |name: &str| resource.get(name).and_then(Value::as_str).map(str::to_owned);
        Self { crc32c: text("crc32c"), md5: text("md5Hash") }
    }

    /// Adds the claims of the `x-goog-hash` headers (`crc32c=…,md5=…`) and of `content-md5`.
    pub(crate) fn and_headers(mut self, headers: &HeaderMap) -> Self {
        let hashes = headers.get_all("x-goog-hash").iter().filter_map(|value| value.to_str().ok());
        for hash in hashes.flat_map(|value| value.split(',')) {
            match hash.trim().split_once('=') {
                Some(("crc32c", value)) => self.crc32c = Some(value.to_owned()),
                Some(("md5", value)) => self.md5 = Some(value.to_owned()),
                _ => {}
            }
        }
        if let Some(md5) = headers.get("content-md5").and_then(|value| value.to_str().ok()) {
            self.md5 = Some(md5.to_owned());
        }
        self
    }

    /// Refuses the upload where what came is not what the client claims to have sent.
    pub(crate) fn verify(&self, found: &Checksums) -> ApiResult<()> {
        let pairs =
            [("CRC32C", &self.crc32c, crc32c_text(found.crc32c)), ("MD5 hash", &self.md5, md5_text(&found.md5))];
        for (kind, claimed, computed) in pairs {
            if let Some(claimed) = claimed.as_ref().filter(|claimed| **claimed != computed) {
                return Err(ApiError::invalid(format!(
                    "Provided {kind} \"{claimed}\" doesn't match calculated {kind} \"{computed}\"."
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_sums_of_a_known_text() {
        // The pair that Google's own client tests use for this text.
        let mut running = Running::new();
        running.update(b"the quick brown fox ");
        running.update(b"jumps over the lazy dog");
        let sums = running.finish();
        assert_eq!(crc32c_text(sums.crc32c), "PBj01g==");
        assert_eq!(md5_text(&sums.md5), "d63R1fQSI9VYL8pzalyzNQ==");
        assert_eq!(sums.size, 43);
    }

    #[test]
    fn a_wrong_claim_is_refused_and_a_right_one_taken() {
        let sums = Running::new().finish();
        let mut headers = HeaderMap::new();
        headers.insert("x-goog-hash", "crc32c=AAAAAA==,md5=1B2M2Y8AsgTpgAmY7PhCfg==".parse().expect("a header"));
        assert!(Claimed::default().and_headers(&headers).verify(&sums).is_ok());
        headers.insert("x-goog-hash", "crc32c=AAAAAQ==".parse().expect("a header"));
        let error = Claimed::default().and_headers(&headers).verify(&sums).expect_err("a mismatch");
        assert_eq!(error.status, 400);
    }
}
