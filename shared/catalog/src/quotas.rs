/// BigQuery's quotas as far as loaders share them, and how much of them they may use. The quotas belong to a project and a
/// region (<https://cloud.google.com/bigquery/quotas#write-api-limits>).
#[derive(Debug, Clone, PartialEq)]
pub struct Quotas {
    /// The share of each quota at which all loaders together brake, above 0 and at most 1.
    pub share: f64,
    /// Write streams that may be created in an hour.
    pub create_write_stream_per_hour: u64,
    /// Connections of AppendRows that may be open.
    pub connections: u64,
    /// Bytes that may be appended in a second.
    pub throughput_bytes_per_second: u64,
}

impl Default for Quotas {
    /// Google's defaults for a region. The multi-regions `US` and `EU` give ten times the connections and the throughput.
    fn default() -> Self {
        Self {
            share: 0.8,
            create_write_stream_per_hour: 10_000,
            connections: 1_000,
            throughput_bytes_per_second: 300_000_000,
        }
    }
}
