//! `pipas dead-letters summary`.

use clap::Args;

use super::{
    filter::{self, Filter},
    source::Source,
};
use crate::{cli::Global, query};

#[derive(Debug, Args)]
pub(crate) struct SummaryArgs {
    #[command(flatten)]
    filter: Filter,
    /// How many lines at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
}

pub(super) async fn summary(global: &Global, source: &Source, args: &SummaryArgs) -> anyhow::Result<()> {
    let sql = format!(
        "SELECT letters.stream, letters.reason, letters.pointer, COUNT(*) AS dead_letters, \
         COUNTIF(redriven.redriven_id IS NULL) AS still_open, MIN(letters.rejected_at) AS first_seen, \
         MAX(letters.rejected_at) AS last_seen FROM {} WHERE {} GROUP BY 1, 2, 3 \
         ORDER BY still_open DESC, dead_letters DESC, 1, 2, 3 LIMIT {}",
        filter::letters(),
        args.filter.condition(),
        args.limit,
    );
    query::print(&source.warehouse().await?.query(&sql).await?, global.json)
}
