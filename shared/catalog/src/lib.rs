//! The catalog: `pipas.yaml` with its schemas and views, parsed and checked. Pure but for [`Catalog::load`], which reads files.

mod archive;
mod dead_letters;
mod declaration;
mod delivery;
mod layout;
mod load;
mod malformed;
mod number;
mod pointer;
mod probe;
mod problem;
mod quotas;
mod registry;
mod route;
mod schema;
mod stream;
mod table;
mod view;

pub use archive::{ArchiveSettings, Budgets, Codec, Landing, LandingFormat, Merge};
pub use dead_letters::{dead_letters_table, open_dead_letters_view, redrives_table};
pub use delivery::{Delivery, Upsert};
pub use layout::{Labels, Layout};
pub use load::{Catalog, CatalogError};
pub use malformed::Malformed;
pub use pointer::JsonPointer;
pub use probe::{Probe, Probed};
pub use problem::Problem;
pub use quotas::Quotas;
pub use registry::Registry;
pub use route::When;
pub use schema::{Field, FieldType, Mode, SchemaError, TableSchema};
pub use stream::{OnLedgerLoss, Stream};
pub use table::{Partition, PartitionType, Table, TableName, UnknownFields};
pub use view::View;
