use super::{cursor::Cursor, name};
use crate::{ArchiveSettings, Budgets, Codec, Landing, LandingFormat, Layout, Merge};

const WHOLE: &str = "a whole number above zero";

/// Reads `archive`, of the catalog or of a stream. What it does not set is as in `default`.
pub(super) fn read(at: &Cursor<'_>, default: &ArchiveSettings) -> ArchiveSettings {
    const CODECS: [(&str, Codec); 4] =
        [("zstd", Codec::Zstd), ("snappy", Codec::Snappy), ("deflate", Codec::Deflate), ("null", Codec::Null)];
    let Some(mut settings) = at.settings("the settings of the archive") else {
        return default.clone();
    };
    // Avro's name for «no compression» is YAML's for «nothing»: `codec: null` means the codec.
    let codec = settings
        .nullable("codec")
        .and_then(|codec| if codec.is_null() { Some(Codec::Null) } else { codec.choice("codec", &CODECS) });
    let layout = settings.optional("layout").and_then(|at| layout(&at));
    let compact = settings.optional("compact").map(|at| budgets(&at, &default.compact));
    let merge = settings.optional("merge").map(|at| merge(&at, &default.merge));
    let landing = match settings.nullable("landing") {
        None => default.landing.clone(),
        Some(at) if at.is_null() => None,
        Some(at) => landing(&at),
    };
    settings.finish();
    ArchiveSettings {
        codec: codec.unwrap_or(default.codec),
        layout: layout.unwrap_or_else(|| default.layout.clone()),
        compact: compact.unwrap_or_else(|| default.compact.clone()),
        merge: merge.unwrap_or_else(|| default.merge.clone()),
        landing,
    }
}

fn budgets(at: &Cursor<'_>, default: &Budgets) -> Budgets {
    let Some(mut settings) = at.settings("the bounds of a run of the compactor") else { return default.clone() };
    let mut bound =
        |name, fallback| settings.optional(name).and_then(|bound| bound.positive(WHOLE)).unwrap_or(fallback);
    let budgets = Budgets {
        max_seconds: bound("max_seconds", default.max_seconds),
        max_bytes: bound("max_bytes", default.max_bytes),
        max_messages: bound("max_messages", default.max_messages),
    };
    settings.finish();
    budgets
}

fn merge(at: &Cursor<'_>, default: &Merge) -> Merge {
    let Some(mut settings) = at.settings("how small objects become large ones") else { return default.clone() };
    let target_bytes = settings.optional("target_bytes").and_then(|at| at.positive(WHOLE));
    let grace = settings.optional("grace").and_then(|at| at.parse(name::DURATION, name::duration));
    settings.finish();
    Merge { target_bytes: target_bytes.unwrap_or(default.target_bytes), grace: grace.unwrap_or(default.grace) }
}

fn landing(at: &Cursor<'_>) -> Option<Landing> {
    const FORMATS: [(&str, LandingFormat); 1] = [("ndjson", LandingFormat::Ndjson)];
    let mut settings = at.settings("where events land: a map with `layout`")?;
    let format = settings.optional("format").map_or(Some(LandingFormat::default()), |at| at.choice("format", &FORMATS));
    let layout = settings
        .required("layout", "a template such as `output/{type}/{yyyy}/{mm}/{dd}/{HH}/{MM}/`")
        .and_then(|at| layout(&at));
    settings.finish();
    Some(Landing { format: format?, layout: layout? })
}

fn layout(at: &Cursor<'_>) -> Option<Layout> {
    let template = at.text("a template of object names, such as `{stream}/dt={yyyy}-{mm}-{dd}/hr={HH}/`")?;
    Layout::parse(template).map_err(|detail| at.problem(detail)).ok()
}
