//! AppendRows: one connection, on which requests are answered in their order.

use std::{collections::HashMap, sync::Arc};

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::StreamExt;
use googleapis::google::cloud::bigquery::storage::v1::{
    AppendRowsRequest, AppendRowsResponse, RowError,
    append_rows_request::{MissingValueInterpretation, Rows},
    append_rows_response::{AppendResult, Response},
    row_error::RowErrorCode,
    storage_error::StorageErrorCode,
};
use prost::Message;
use prost_types::DescriptorProto;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::{
    Service, change, decode,
    error::Refusal,
    name::{self, Target},
    plan::{self, Mismatch, Plan},
    schema,
};
use crate::{
    bigquery::{cell::Cell, columns, store::Definition},
    faults::Action,
    wire,
};

/// A request holds at most so many bytes.
const LARGEST: usize = 20 << 20;
/// Requests beyond so many bytes are worked on away from the async threads.
const LARGE: usize = 64 << 10;
/// At most so many bad rows of a request are named.
const ROW_ERRORS: usize = 1000;

/// The answers to the requests of one connection. What has arrived is carried out whether or not its client waits: a
/// writer that dies may have sent its last request.
pub(super) fn responses(
    service: Service,
    connection: Option<wire::Connection>,
    mut requests: Streaming<AppendRowsRequest>,
) -> impl futures::Stream<Item = Result<AppendRowsResponse, Status>> + Send {
    let mut writer = Writer { service, connection, current: String::new(), writers: HashMap::new() };
    let (answers, answered) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let answer = match request {
                Ok(request) => writer.answer(request).await,
                Err(status) => Err(status),
            };
            let is_last = answer.is_err();
            if answers.send(answer).await.is_err() || is_last {
                break;
            }
        }
    });
    ReceiverStream::new(answered)
}

/// What a connection remembers.
struct Writer {
    service: Service,
    connection: Option<wire::Connection>,
    /// The stream of the last request that named one.
    current: String,
    writers: HashMap<String, Known>,
}

/// What a connection knows of a stream that it writes.
struct Known {
    descriptor: Arc<DescriptorProto>,
    plan: Option<Planned>,
    /// The table, and the version of its schema, that the client was told of.
    told: (u64, u32),
}

#[derive(Clone)]
struct Planned {
    table: u64,
    version: u32,
    plan: Arc<Plan>,
}

/// Why a request was not applied.
enum Failure {
    Refused(Refusal),
    Rows(Vec<RowError>),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Writer {
    /// The answer to one request. An error ends the connection.
    async fn answer(&mut self, request: AppendRowsRequest) -> Result<AppendRowsResponse, Status> {
        let mut lost = false;
        match self.service.faults.next("BigQueryWrite/AppendRows") {
            None | Some(Action::Duplicate) => {}
            Some(Action::Delay(delay)) => tokio::time::sleep(delay).await,
            Some(Action::ApplyThenFail) => lost = true,
            Some(Action::DropConnection) => {
                if let Some(connection) = &self.connection {
                    connection.drop_now();
                }
                return Err(Status::unavailable("injected fault: the connection was dropped"));
            }
            Some(Action::Error { code, message, storage_error }) => {
                let entity = if request.write_stream.is_empty() { &self.current } else { &request.write_stream };
                let refusal = Refusal { code, message, storage: storage_error, entity: entity.clone() };
                let breaks = matches!(
                    code,
                    Code::Unavailable
                        | Code::Cancelled
                        | Code::DeadlineExceeded
                        | Code::Unknown
                        | Code::Unauthenticated
                );
                if breaks {
                    return Err(refusal.status());
                }
                if !request.write_stream.is_empty() {
                    self.current.clone_from(&request.write_stream);
                }
                return Ok(self.refuse(refusal));
            }
        }
        let response = self.apply(request).await?;
        if lost {
            return Err(Status::unavailable("injected fault: the answer was lost"));
        }
        Ok(response)
    }

    async fn apply(&mut self, request: AppendRowsRequest) -> Result<AppendRowsResponse, Status> {
        if !request.write_stream.is_empty() {
            self.current.clone_from(&request.write_stream);
        }
        if self.current.is_empty() {
            let message = "The first request of a connection must name its write_stream";
            return Err(Refusal::invalid(message).status());
        }
        let size = request.encoded_len();
        if size > LARGEST {
            return Ok(self.refuse(Refusal::invalid(format!("AppendRows request too large: {size} limit {LARGEST}"))));
        }
        let target = match name::find_stream(&self.service.store, &self.service.project, &self.current) {
            Ok(target) => target,
            Err(refusal) => return Ok(self.refuse(refusal)),
        };
        let applied = match self.prepare(request, &target) {
            Ok(append) if size > LARGE => match tokio::task::spawn_blocking(move || append.run()).await {
                Ok(applied) => applied,
                Err(error) => Err(Refusal::new(Code::Internal, error.to_string()).into()),
            },
            Ok(append) => append.run(),
            Err(refusal) => Err(refusal.into()),
        };
        let mut response = match applied {
            Ok(offset) => self.response(Response::AppendResult(AppendResult { offset })),
            Err(Failure::Refused(refusal)) => self.refuse(refusal),
            Err(Failure::Rows(rows)) => {
                let message = format!(
                    "Errors found while processing rows. Please refer to the row_errors field for details. The list may not be complete because of the size limitations. Entity: {}",
                    self.current
                );
                AppendRowsResponse { row_errors: rows, ..self.refuse(Refusal::invalid(message)) }
            }
        };
        let definition = target.table.definition();
        if let Some(known) = self.writers.get_mut(&self.current) {
            let now = (target.table.id, definition.version);
            if known.told != now {
                known.told = now;
                response.updated_schema = Some(schema::to_proto(&definition.schema));
            }
        }
        Ok(response)
    }

    /// What is to be done; everything that needs the connection's memory is settled here.
    fn prepare(&mut self, request: AppendRowsRequest, target: &Target) -> Result<Append, Refusal> {
        let rows = match request.rows {
            Some(Rows::ProtoRows(rows)) => rows,
            Some(Rows::ArrowRows(_)) => {
                return Err(Refusal::invalid("arrow_rows are not supported by the local BigQuery; send proto_rows"));
            }
            None => return Err(Refusal::invalid("The request has no rows")),
        };
        if target.stream.is_none() && request.offset.is_some() {
            return Err(Refusal::invalid("Offset must not be specified for the default stream"));
        }
        let definition = target.table.definition();
        if let Some(descriptor) = rows.writer_schema.and_then(|schema| schema.proto_descriptor) {
            let told = (target.table.id, definition.version);
            match self.writers.get_mut(&self.current) {
                Some(known) if *known.descriptor == descriptor => known.told = told,
                _ => {
                    let known = Known { descriptor: Arc::new(descriptor), plan: None, told };
                    self.writers.insert(self.current.clone(), known);
                }
            }
        }
        let Some(known) = self.writers.get_mut(&self.current) else {
            return Err(Refusal::invalid(format!(
                "Invalid proto schema: the first request to {} on a connection must have a writer_schema",
                self.current
            )));
        };
        let fresh = known.plan.take().filter(|p| p.table == target.table.id && p.version == definition.version);
        let planned = match fresh {
            Some(planned) => planned,
            None => {
                let compiled = plan::compile(&known.descriptor, &definition.stored);
                let plan = compiled.map_err(|mismatch| mismatched(mismatch, &self.current))?;
                Planned { table: target.table.id, version: definition.version, plan: Arc::new(plan) }
            }
        };
        known.plan = Some(planned.clone());
        let default = MissingValueInterpretation::DefaultValue;
        if request.default_missing_value_interpretation == i32::from(default)
            || request.missing_value_interpretations.values().any(|value| *value == i32::from(default))
        {
            let column = definition.schema.fields.iter().find(|field| field.default_value_expression.is_some());
            if let Some(column) = column {
                return Err(Refusal::invalid(format!(
                    "DEFAULT_VALUE: the default_value_expression of {} is not supported by the local BigQuery",
                    column.name
                )));
            }
        }
        Ok(Append {
            target: target.clone(),
            name: self.current.clone(),
            offset: request.offset,
            rows: rows.rows.map(|rows| rows.serialized_rows).unwrap_or_default(),
            plan: planned.plan,
            definition,
        })
    }

    fn refuse(&self, refusal: Refusal) -> AppendRowsResponse {
        self.response(Response::Error(refusal.rpc()))
    }

    fn response(&self, response: Response) -> AppendRowsResponse {
        AppendRowsResponse {
            response: Some(response),
            write_stream: self.current.clone(),
            updated_schema: None,
            row_errors: Vec::new(),
        }
    }
}

fn mismatched(mismatch: Mismatch, entity: &str) -> Refusal {
    match mismatch {
        Mismatch::ExtraFields(fields) => Refusal::storage(
            Code::InvalidArgument,
            StorageErrorCode::SchemaMismatchExtraFields,
            format!("Input schema has more fields than BigQuery schema, extra fields: '{}'", fields.join(",")),
            entity,
        ),
        Mismatch::NoPrimaryKey => Refusal::invalid(format!(
            "The primary keys of the table are required to create an upsert stream. Entity: {entity}"
        )),
        Mismatch::Invalid(detail) => Refusal::invalid(format!("Invalid proto schema: {detail} Entity: {entity}")),
    }
}

/// One request, ready to be decoded and applied.
struct Append {
    target: Target,
    name: String,
    offset: Option<i64>,
    rows: Vec<Bytes>,
    plan: Arc<Plan>,
    definition: Arc<Definition>,
}

impl Append {
    /// Appends all rows or none; the offset is that of a created stream.
    fn run(self) -> Result<Option<i64>, Failure> {
        let batch = self.decode()?;
        let Self { target: Target { table, stream }, name, offset, .. } = self;
        match stream {
            None => {
                table.append(vec![batch]).map_err(|error| Refusal::of_store(&error, &name))?;
                Ok(None)
            }
            Some(stream) => {
                let at = table.append_to(&stream, offset, batch).map_err(|refused| Refusal::of(refused, &name))?;
                Ok(Some(at))
            }
        }
    }

    fn decode(&self) -> Result<RecordBatch, Failure> {
        let mut rows: Vec<Vec<Cell>> = Vec::with_capacity(self.rows.len());
        let mut errors = Vec::new();
        for (index, row) in self.rows.iter().enumerate() {
            let decoded = decode::decode(&self.plan.message, row).and_then(|cells| {
                if self.plan.has_changes && self.target.stream.is_none() {
                    change::check(&cells)?;
                }
                Ok(cells)
            });
            match decoded {
                Ok(cells) => rows.push(cells),
                Err(message) if errors.len() < ROW_ERRORS => errors.push(RowError {
                    index: i64::try_from(index).unwrap_or(i64::MAX),
                    code: RowErrorCode::FieldsError.into(),
                    message,
                }),
                Err(_) => {}
            }
        }
        if !errors.is_empty() {
            return Err(Failure::Rows(errors));
        }
        if self.plan.has_changes
            && self.target.stream.is_some()
            && let Some(kind) = rows.iter().find_map(|cells| change::kind(cells))
        {
            // The words are Google's: what takes the place of rows goes through the default stream.
            let message = format!("The given value is not a valid CHANGE_TYPE in insert mode: {kind}");
            return Err(Refusal::invalid(format!("{message} Entity: {}", self.name)).into());
        }
        let batch = columns::batch(&self.definition.arrow, &rows);
        Ok(batch.map_err(|error| Refusal::new(Code::Internal, error.to_string()))?)
    }
}
