//! An object's metadata, as it is stored and as the API shows it.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::{Timestamp, Unit};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    checksum::{crc32c_text, md5_text},
    error::{ApiError, ApiResult},
};

/// A live object without its bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Object {
    pub(crate) bucket: String,
    pub(crate) name: String,
    pub(crate) generation: i64,
    pub(crate) metageneration: i64,
    pub(crate) size: u64,
    pub(crate) crc32c: u32,
    /// Composed objects have none.
    pub(crate) md5: Option<[u8; 16]>,
    pub(crate) component_count: Option<u32>,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) attributes: Attributes,
}

/// What a client may set on an object.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Attributes {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_disposition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_language: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_class: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temporary_hold: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_based_hold: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<BTreeMap<String, String>>,
}

impl Attributes {
    /// The attributes that a resource sets; what the server itself sets is passed over.
    pub(crate) fn from_resource(resource: &Value) -> ApiResult<Self> {
        serde_json::from_value(resource.clone())
            .map_err(|error| ApiError::invalid(format!("Invalid object resource: {error}.")))
    }

    /// The attributes after a PATCH: JSON merge patch (RFC 7396), so `null` removes.
    pub(crate) fn patched(&self, patch: &Value) -> ApiResult<Self> {
        let mut resource = serde_json::to_value(self).unwrap_or_default();
        merge(&mut resource, patch);
        Self::from_resource(&resource)
    }

    /// The same with a content type, where none is set.
    pub(crate) fn or_content_type(mut self, content_type: Option<&str>) -> Self {
        if self.content_type.is_none() {
            self.content_type = content_type.map(str::to_owned);
        }
        self
    }

    /// The same with the object's encoding named by a query parameter, where none is set.
    pub(crate) fn or_content_encoding(mut self, content_encoding: Option<&str>) -> Self {
        if self.content_encoding.is_none() {
            self.content_encoding = content_encoding.map(str::to_owned);
        }
        self
    }

    /// Whether a hold keeps the object from being replaced or deleted.
    pub(crate) fn is_held(&self) -> bool {
        self.temporary_hold == Some(true) || self.event_based_hold == Some(true)
    }
}

/// JSON merge patch (RFC 7396).
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Some(fields) = target.as_object_mut() else { return };
    for (name, change) in changes {
        if change.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name.clone()).or_insert(Value::Null), change);
        }
    }
}

/// RFC 3339 with milliseconds, as the API writes times.
pub(crate) fn api_time(time: Timestamp) -> String {
    let time = time.round(Unit::Millisecond).unwrap_or(time);
    format!("{time:.3}")
}

impl Object {
    /// The etag: of this generation and metageneration.
    pub(crate) fn etag(&self) -> String {
        BASE64_STANDARD.encode(format!("{}/{}", self.generation, self.metageneration))
    }

    /// The object resource; links are below `base`.
    pub(crate) fn resource(&self, base: &str) -> Value {
        let Self { bucket, name, generation, metageneration, .. } = self;
        let encoded = encode(name);
        let attributes = serde_json::to_value(&self.attributes).unwrap_or_default();
        let mut resource = json!({
            "kind": "storage#object",
            "id": format!("{bucket}/{name}/{generation}"),
            "selfLink": format!("{base}/storage/v1/b/{bucket}/o/{encoded}"),
            "mediaLink": format!("{base}/download/storage/v1/b/{bucket}/o/{encoded}?generation={generation}&alt=media"),
            "name": name,
            "bucket": bucket,
            "generation": generation.to_string(),
            "metageneration": metageneration.to_string(),
            "storageClass": "STANDARD",
            "size": self.size.to_string(),
            "crc32c": crc32c_text(self.crc32c),
            "etag": self.etag(),
            "timeCreated": api_time(self.created),
            "timeFinalized": api_time(self.created),
            "timeStorageClassUpdated": api_time(self.created),
            "updated": api_time(self.updated),
        });
        if let Some(md5) = &self.md5 {
            resource["md5Hash"] = md5_text(md5).into();
        }
        if let Some(count) = self.component_count {
            resource["componentCount"] = count.into();
        }
        merge(&mut resource, &attributes);
        resource
    }

    /// The headers of a download.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut set = |name: HeaderName, value: &str| {
            // What is no header value (a line break in custom metadata) is left out, as HTTP cannot carry it.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        let Attributes { content_type, content_encoding, content_disposition, content_language, .. } = &self.attributes;
        set(header::CONTENT_TYPE, content_type.as_deref().unwrap_or("application/octet-stream"));
        set(header::CACHE_CONTROL, self.attributes.cache_control.as_deref().unwrap_or("no-cache"));
        let optional = [
            (header::CONTENT_ENCODING, content_encoding),
            (header::CONTENT_DISPOSITION, content_disposition),
            (header::CONTENT_LANGUAGE, content_language),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                set(name, value);
            }
        }
        set(header::ETAG, &self.etag());
        set(header::ACCEPT_RANGES, "bytes");
        let modified = self.updated.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        set(header::LAST_MODIFIED, &modified);
        let mut hashes = format!("crc32c={}", crc32c_text(self.crc32c));
        if let Some(md5) = &self.md5 {
            hashes.push_str(",md5=");
            hashes.push_str(&md5_text(md5));
        }
        set(HeaderName::from_static("x-goog-hash"), &hashes);
        set(HeaderName::from_static("x-goog-generation"), &self.generation.to_string());
        set(HeaderName::from_static("x-goog-metageneration"), &self.metageneration.to_string());
        set(HeaderName::from_static("x-goog-stored-content-length"), &self.size.to_string());
        let stored_encoding = content_encoding.as_deref().unwrap_or("identity");
        set(HeaderName::from_static("x-goog-stored-content-encoding"), stored_encoding);
        let class = self.attributes.storage_class.as_deref().unwrap_or("STANDARD");
        set(HeaderName::from_static("x-goog-storage-class"), class);
        for (key, value) in self.attributes.metadata.iter().flatten() {
            if let Ok(name) = HeaderName::try_from(format!("x-goog-meta-{key}")) {
                set(name, value);
            }
        }
        headers
    }
}

/// An object name as one path segment of a URL.
pub(crate) fn encode(name: &str) -> String {
    use std::fmt::Write;
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}"); // writing to a String cannot fail
        }
    }
    encoded
}

/// Refuses what Cloud Storage takes for no object name
/// (<https://cloud.google.com/storage/docs/objects#naming>).
pub(crate) fn check_name(name: &str) -> ApiResult<()> {
    if name.is_empty() {
        return Err(ApiError::required("Required parameter: name"));
    }
    if name.len() > 1024 {
        return Err(ApiError::invalid(format!(
            "The object name holds {} bytes; at most 1024 are allowed.",
            name.len()
        )));
    }
    if name.contains(['\r', '\n']) || name == "." || name == ".." || name.starts_with(".well-known/acme-challenge/") {
        return Err(ApiError::invalid(format!("Invalid object name: {name:?}.")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_sets_changes_and_removes() {
        let before = json!({ "contentType": "a/b", "metadata": { "x": "1", "y": "2" }, "cacheControl": "no-store" });
        let before = Attributes::from_resource(&before).expect("attributes");
        let after =
            before.patched(&json!({ "contentType": "c/d", "metadata": { "x": null, "z": "3" }, "cacheControl": null }));
        let after = serde_json::to_value(after.expect("a patch")).expect("json");
        assert_eq!(after, json!({ "contentType": "c/d", "metadata": { "y": "2", "z": "3" } }));
    }

    #[test]
    fn metadata_holds_strings_alone() {
        assert!(Attributes::from_resource(&json!({ "metadata": { "x": 1 } })).is_err());
    }
}
