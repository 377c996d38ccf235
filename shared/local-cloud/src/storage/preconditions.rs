//! `ifGenerationMatch` and its kin (<https://cloud.google.com/storage/docs/request-preconditions>).

use super::{
    error::{ApiError, ApiResult},
    object::Object,
    params::Params,
};

/// What a request says must hold for it to be done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub(crate) struct Preconditions {
    generation_match: Option<i64>,
    generation_not_match: Option<i64>,
    metageneration_match: Option<i64>,
    metageneration_not_match: Option<i64>,
}

impl Preconditions {
    /// The preconditions of the object that the request is about.
    pub(crate) fn of(params: &Params) -> ApiResult<Self> {
        Self::named(params, "if")
    }

    /// The preconditions of the source of a copy.
    pub(crate) fn of_source(params: &Params) -> ApiResult<Self> {
        Self::named(params, "ifSource")
    }

    fn named(params: &Params, prefix: &str) -> ApiResult<Self> {
        Ok(Self {
            generation_match: params.number(&format!("{prefix}GenerationMatch"))?,
            generation_not_match: params.number(&format!("{prefix}GenerationNotMatch"))?,
            metageneration_match: params.number(&format!("{prefix}MetagenerationMatch"))?,
            metageneration_not_match: params.number(&format!("{prefix}MetagenerationNotMatch"))?,
        })
    }

    /// Holds them against the live object before a write: 412 where one does not hold. Generation 0 is no live object.
    pub(crate) fn check_write(&self, live: Option<&Object>) -> ApiResult<()> {
        let generation = live.map_or(0, |object| object.generation);
        if self.generation_match.is_some_and(|wanted| wanted != generation) {
            return Err(ApiError::precondition("If-Match"));
        }
        if self.generation_not_match == Some(generation) {
            return Err(ApiError::precondition("If-None-Match"));
        }
        let metageneration = live.map_or(0, |object| object.metageneration);
        self.check_metageneration(metageneration)
    }

    /// Holds them against a bucket, which has a metageneration alone.
    pub(crate) fn check_metageneration(&self, metageneration: i64) -> ApiResult<()> {
        if self.metageneration_match.is_some_and(|wanted| wanted != metageneration) {
            return Err(ApiError::precondition("If-Match"));
        }
        if self.metageneration_not_match == Some(metageneration) {
            return Err(ApiError::precondition("If-None-Match"));
        }
        Ok(())
    }

    /// Holds them against the object before a read: 304 where it is still the one that the reader has.
    pub(crate) fn check_read(&self, object: &Object) -> ApiResult<()> {
        if self.generation_not_match == Some(object.generation)
            || self.metageneration_not_match == Some(object.metageneration)
        {
            return Err(ApiError::not_modified());
        }
        let matches = Self { generation_not_match: None, metageneration_not_match: None, ..*self };
        matches.check_write(Some(object))
    }
}
