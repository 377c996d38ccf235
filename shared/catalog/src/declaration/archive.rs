use super::cursor::Cursor;
use crate::{ArchiveSettings, Codec};

/// Reads `archive`.
pub(super) fn read(at: &Cursor<'_>) -> ArchiveSettings {
    const CODECS: [(&str, Codec); 4] =
        [("zstd", Codec::Zstd), ("snappy", Codec::Snappy), ("deflate", Codec::Deflate), ("null", Codec::Null)];
    let default = ArchiveSettings::default();
    let Some(mut settings) = at.settings("the settings of the archive") else {
        return default;
    };
    // Avro's name for «no compression» is YAML's for «nothing»: `codec: null` means the codec.
    let codec = settings
        .nullable("codec")
        .and_then(|codec| if codec.is_null() { Some(Codec::Null) } else { codec.choice("codec", &CODECS) });
    let mut bound = |name, fallback| {
        settings.optional(name).and_then(|bound| bound.positive("a whole number above zero")).unwrap_or(fallback)
    };
    let archive = ArchiveSettings {
        codec: codec.unwrap_or(default.codec),
        max_seconds: bound("max_seconds", default.max_seconds),
        max_bytes: bound("max_bytes", default.max_bytes),
        max_messages: bound("max_messages", default.max_messages),
    };
    settings.finish();
    archive
}
