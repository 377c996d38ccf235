//! `pipas dead-letters list`.

use clap::Args;

use super::{
    filter::{self, Filter},
    source::Source,
};
use crate::{cli::Global, query};

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    filter: Filter,
    /// Those too that were published again
    #[arg(long)]
    all: bool,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
}

pub(super) async fn list(global: &Global, source: &Source, args: &ListArgs) -> anyhow::Result<()> {
    let open = if args.all { "TRUE" } else { "redriven.redriven_id IS NULL" };
    let sql = format!(
        "SELECT letters.dead_letter_id, letters.rejected_at, letters.stream, letters.`table`, letters.event_id, \
         letters.reason, letters.pointer, letters.detail, letters.redrive_of, redriven.redriven_at FROM {} \
         WHERE {} AND {open} ORDER BY letters.rejected_at DESC, letters.dead_letter_id LIMIT {}",
        filter::letters(),
        args.filter.condition(),
        args.limit,
    );
    query::print(&source.warehouse().await?.query(&sql).await?, global.json)
}
