use super::cursor::Cursor;
use crate::{Quotas, Registry};

/// Reads `quotas`.
pub(super) fn read(at: &Cursor<'_>) -> Quotas {
    let default = Quotas::default();
    let Some(mut settings) = at.settings("the quotas of BigQuery's Storage Write API") else {
        return default;
    };
    let share = settings.optional("share").and_then(|share| share.share("a share above 0 and at most 1, e.g. `0.8`"));
    let mut quota = |name, fallback| {
        settings.optional(name).and_then(|quota| quota.positive("a whole number above zero")).unwrap_or(fallback)
    };
    let quotas = Quotas {
        share: share.unwrap_or(default.share),
        create_write_stream_per_hour: quota("create_write_stream_per_hour", default.create_write_stream_per_hour),
        connections: quota("connections", default.connections),
        throughput_bytes_per_second: quota("throughput_bytes_per_second", default.throughput_bytes_per_second),
    };
    settings.finish();
    quotas
}

/// Reads `registry`.
pub(super) fn registry(at: &Cursor<'_>) -> Registry {
    const REGISTRIES: [(&str, Registry); 2] = [("storage", Registry::Storage), ("none", Registry::None)];
    at.choice("registry", &REGISTRIES).unwrap_or_default()
}
