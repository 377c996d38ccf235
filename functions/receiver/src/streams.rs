use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Receiver;

/// A stream that events can be sent to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StreamEntry {
    /// Its name, as it stands in the path.
    #[schema(example = "courier-chat")]
    pub name: String,
    /// What it carries.
    #[schema(example = "Messages between couriers and customers, and the orders that they are about")]
    pub description: String,
}

/// The streams that events can be sent to.
#[utoipa::path(
    get,
    path = "/v1/streams",
    operation_id = "listStreams",
    tag = "streams",
    responses((status = 200, description = "Every stream", body = Vec<StreamEntry>))
)]
pub(crate) async fn list(State(receiver): State<Receiver>) -> Json<Vec<StreamEntry>> {
    Json(receiver.intakes.values().map(|intake| intake.entry()).collect())
}
