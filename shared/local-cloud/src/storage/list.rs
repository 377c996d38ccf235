//! Listing a bucket's objects (<https://cloud.google.com/storage/docs/json_api/v1/objects/list>).

use std::collections::BTreeSet;

use axum::{
    Json,
    extract::{Path, Query, State},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{
    App, Base,
    error::{ApiError, ApiResult},
    glob::Glob,
    object::Object,
    params::Params,
};

/// What a page holds at most.
const PAGE: usize = 1000;

/// Where the page before ended.
enum After {
    Name(String),
    Prefix(String),
}

impl After {
    fn token(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(match self {
            Self::Name(name) => format!("n{name}"),
            Self::Prefix(prefix) => format!("p{prefix}"),
        })
    }

    fn parse(token: &str) -> Option<Self> {
        let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
        text.strip_prefix('n')
            .map(|name| Self::Name(name.to_owned()))
            .or_else(|| text.strip_prefix('p').map(|prefix| Self::Prefix(prefix.to_owned())))
    }

    fn is_before(&self, name: &str) -> bool {
        match self {
            Self::Name(last) => last.as_str() < name,
            Self::Prefix(prefix) => prefix.as_str() < name && !name.starts_with(prefix.as_str()),
        }
    }
}

/// What is asked for.
struct Asked<'params> {
    prefix: &'params str,
    delimiter: Option<&'params str>,
    start: &'params str,
    end: Option<&'params str>,
    trailing: bool,
    glob: Option<Glob>,
    after: Option<After>,
    limit: usize,
}

#[derive(Default)]
struct Page {
    items: Vec<Object>,
    prefixes: BTreeSet<String>,
    next: Option<String>,
    last: Option<After>,
}

pub(crate) async fn list(
    State(app): State<App>,
    Base(base): Base,
    Path(bucket): Path<String>,
    Query(params): Query<Params>,
) -> ApiResult<Json<Value>> {
    if params.flag("softDeleted") {
        return Err(ApiError::not_implemented("soft delete"));
    }
    let query = Asked::of(&params)?;
    let mut page = Page::default();
    app.store.visit(&bucket, query.start.max(query.prefix), |object| page.take(&query, object))?;
    let mut answer = json!({ "kind": "storage#objects" });
    if !page.items.is_empty() {
        answer["items"] = page.items.iter().map(|object| object.resource(&base)).collect();
    }
    if !page.prefixes.is_empty() {
        answer["prefixes"] = page.prefixes.into_iter().collect();
    }
    if let Some(token) = page.next {
        answer["nextPageToken"] = token.into();
    }
    Ok(Json(answer))
}

impl<'params> Asked<'params> {
    fn of(params: &'params Params) -> ApiResult<Self> {
        let after = params.text("pageToken").map(|token| {
            After::parse(token).ok_or_else(|| ApiError::invalid_parameter("pageToken", "Invalid page token."))
        });
        let limit = params.number("maxResults")?.unwrap_or(PAGE as i64);
        if limit < 0 {
            return Err(ApiError::invalid_parameter("maxResults", "maxResults must not be negative."));
        }
        let limit = usize::try_from(limit).ok().filter(|limit| (1..=PAGE).contains(limit)).unwrap_or(PAGE);
        let glob = params.text("matchGlob").map(|pattern| {
            Glob::parse(pattern)
                .ok_or_else(|| ApiError::invalid_parameter("matchGlob", format!("Invalid glob: {pattern}")))
        });
        Ok(Self {
            prefix: params.text("prefix").unwrap_or_default(),
            delimiter: params.text("delimiter"),
            start: params.text("startOffset").unwrap_or_default(),
            end: params.text("endOffset"),
            trailing: params.flag("includeTrailingDelimiter"),
            glob: glob.transpose()?,
            after: after.transpose()?,
            limit,
        })
    }
}

impl Page {
    /// Takes the next object in the order of names; `false` once the page is complete.
    fn take(&mut self, query: &Asked<'_>, object: &Object) -> bool {
        let name = object.name.as_str();
        let is_past = query.end.is_some_and(|end| name >= end);
        if is_past || (!name.starts_with(query.prefix) && name > query.prefix) {
            return false;
        }
        let is_wanted = name.starts_with(query.prefix)
            && query.after.as_ref().is_none_or(|after| after.is_before(name))
            && query.glob.as_ref().is_none_or(|glob| glob.matches(name));
        if !is_wanted {
            return true;
        }
        let folded = query.delimiter.and_then(|delimiter| {
            let at = name[query.prefix.len()..].find(delimiter)?;
            Some(&name[..query.prefix.len() + at + delimiter.len()])
        });
        if folded.is_some_and(|prefix| self.prefixes.contains(prefix)) {
            return true;
        }
        if self.items.len() + self.prefixes.len() >= query.limit {
            self.next = self.last.as_ref().map(After::token);
            return false;
        }
        match folded {
            Some(prefix) => {
                self.prefixes.insert(prefix.to_owned());
                self.last = Some(After::Prefix(prefix.to_owned()));
                if query.trailing && prefix == name {
                    self.items.push(object.clone());
                }
            }
            None => {
                self.items.push(object.clone());
                self.last = Some(After::Name(name.to_owned()));
            }
        }
        true
    }
}
