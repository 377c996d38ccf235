//! `google.cloud.bigquery.storage.v1.BigQueryWrite`.

mod append;
mod change;
#[cfg(test)]
mod conversions;
mod decode;
mod error;
mod name;
mod plan;
mod schema;

use std::{pin::Pin, sync::Arc};

use axum::{
    Router,
    extract::{Request as HttpRequest, State},
    middleware::{self, Next},
};
use googleapis::google::cloud::bigquery::storage::v1::{
    AppendRowsRequest, AppendRowsResponse, BatchCommitWriteStreamsRequest, BatchCommitWriteStreamsResponse,
    CreateWriteStreamRequest, FinalizeWriteStreamRequest, FinalizeWriteStreamResponse, FlushRowsRequest,
    FlushRowsResponse, GetWriteStreamRequest, StorageError, WriteStream, WriteStreamView,
    big_query_write_server::{BigQueryWrite, BigQueryWriteServer},
    storage_error::StorageErrorCode,
    write_stream::{Type, WriteMode},
};
use prost_types::Timestamp;
use tonic::{Code, Request, Response, Status, Streaming};

use self::{
    error::Refusal,
    name::{DEFAULT, Target, find_stream, find_table, stream_name},
};
use super::store::{self, Store, Stream, StreamKind, Table};
use crate::{faults::Faults, wire};

/// What tonic may decode; the API's own limit is below it and is answered in its own words.
const LARGEST_MESSAGE: usize = 64 << 20;

/// The service.
#[derive(Debug, Clone)]
pub(super) struct Service {
    store: Arc<Store>,
    project: Arc<str>,
    faults: Faults,
}

/// The gRPC service as a router.
pub(super) fn router(store: Arc<Store>, project: Arc<str>, faults: Faults) -> Router {
    let service = BigQueryWriteServer::new(Service { store, project, faults: faults.clone() })
        .max_decoding_message_size(LARGEST_MESSAGE)
        .max_encoding_message_size(LARGEST_MESSAGE);
    let routes = tonic::service::Routes::new(service).into_axum_router();
    routes.layer(middleware::from_fn_with_state(faults, unary_faults))
}

/// AppendRows meets its faults request by request, the other calls here.
async fn unary_faults(faults: State<Faults>, request: HttpRequest, next: Next) -> axum::response::Response {
    if request.uri().path().ends_with("/AppendRows") {
        return next.run(request).await;
    }
    wire::grpc_faults(faults, request, next).await
}

#[tonic::async_trait]
impl BigQueryWrite for Service {
    type AppendRowsStream = Pin<Box<dyn futures::Stream<Item = Result<AppendRowsResponse, Status>> + Send>>;

    async fn create_write_stream(
        &self,
        request: Request<CreateWriteStreamRequest>,
    ) -> Result<Response<WriteStream>, Status> {
        let CreateWriteStreamRequest { parent, write_stream } = request.into_inner();
        let table = find_table(&self.store, &self.project, &parent).map_err(|refusal| refusal.status())?;
        let wanted = write_stream.unwrap_or_default();
        let kind = match wanted.r#type() {
            Type::Committed => StreamKind::Committed,
            Type::Pending => StreamKind::Pending,
            Type::Buffered => StreamKind::Buffered,
            Type::Unspecified => return Err(Refusal::invalid("The type of the write stream must be given").status()),
        };
        let created = table.create_stream(kind, store::now());
        let stream = created.map_err(|error| Refusal::of_store(&error, &parent).status())?;
        Ok(Response::new(self.describe(&Target { table, stream: Some(stream) }, WriteStreamView::Full)))
    }

    async fn append_rows(
        &self,
        request: Request<Streaming<AppendRowsRequest>>,
    ) -> Result<Response<Self::AppendRowsStream>, Status> {
        let connection = request.extensions().get::<wire::Connection>().cloned();
        let responses = append::responses(self.clone(), connection, request.into_inner());
        Ok(Response::new(Box::pin(responses)))
    }

    async fn get_write_stream(&self, request: Request<GetWriteStreamRequest>) -> Result<Response<WriteStream>, Status> {
        let request = request.into_inner();
        let target = find_stream(&self.store, &self.project, &request.name).map_err(|refusal| refusal.status())?;
        Ok(Response::new(self.describe(&target, request.view())))
    }

    async fn finalize_write_stream(
        &self,
        request: Request<FinalizeWriteStreamRequest>,
    ) -> Result<Response<FinalizeWriteStreamResponse>, Status> {
        let FinalizeWriteStreamRequest { name } = request.into_inner();
        let (table, stream) = self.created(&name)?;
        let row_count = table.finalize(&stream).map_err(|refused| Refusal::of(refused, &name).status())?;
        Ok(Response::new(FinalizeWriteStreamResponse { row_count }))
    }

    async fn batch_commit_write_streams(
        &self,
        request: Request<BatchCommitWriteStreamsRequest>,
    ) -> Result<Response<BatchCommitWriteStreamsResponse>, Status> {
        let BatchCommitWriteStreamsRequest { parent, write_streams } = request.into_inner();
        let table = find_table(&self.store, &self.project, &parent).map_err(|refusal| refusal.status())?;
        if write_streams.is_empty() {
            return Err(Refusal::invalid("write_streams must not be empty").status());
        }
        let (mut streams, mut errors) = (Vec::new(), Vec::new());
        for name in &write_streams {
            match find_stream(&self.store, &self.project, name) {
                Ok(Target { table: of, stream: Some(stream) }) if of.id == table.id => streams.push(stream),
                Ok(Target { stream: None, .. }) => errors.extend(wrong_type(name).storage_error()),
                Ok(_) => {
                    let message = format!("The stream does not belong to {parent}");
                    return Err(Refusal::invalid(message).status());
                }
                Err(refusal) if refusal.storage.is_some() => errors.extend(refusal.storage_error()),
                Err(refusal) => return Err(refusal.status()),
            }
        }
        let now = store::now();
        if errors.is_empty() {
            for (stream, refused) in table.commit(&streams, now).err().into_iter().flatten() {
                let refusal = Refusal::of(refused, &stream_name(&self.project, &table, &stream.id));
                errors.push(refusal.storage_error().ok_or_else(|| refusal.status())?);
            }
        }
        let committed = errors.is_empty().then(|| timestamp(now));
        let stream_errors: Vec<StorageError> = errors;
        Ok(Response::new(BatchCommitWriteStreamsResponse { commit_time: committed, stream_errors }))
    }

    async fn flush_rows(&self, request: Request<FlushRowsRequest>) -> Result<Response<FlushRowsResponse>, Status> {
        let FlushRowsRequest { write_stream, offset } = request.into_inner();
        let (table, stream) = self.created(&write_stream)?;
        let Some(offset) = offset else { return Err(Refusal::invalid("The offset must be given").status()) };
        let flushed = table.flush(&stream, offset);
        let offset = flushed.map_err(|refused| Refusal::of(refused, &write_stream).status())?;
        Ok(Response::new(FlushRowsResponse { offset }))
    }
}

impl Service {
    /// A stream that was created; the default stream is refused.
    fn created(&self, name: &str) -> Result<(Arc<Table>, Arc<Stream>), Status> {
        let target = find_stream(&self.store, &self.project, name).map_err(|refusal| refusal.status())?;
        let stream = target.stream.ok_or_else(|| wrong_type(name).status())?;
        Ok((target.table, stream))
    }

    fn describe(&self, target: &Target, view: WriteStreamView) -> WriteStream {
        let Target { table, stream } = target;
        let (id, kind, created, committed) = match stream {
            None => (DEFAULT, Type::Committed, table.created, Some(table.created)),
            Some(stream) => {
                let kind = match stream.kind {
                    StreamKind::Committed => Type::Committed,
                    StreamKind::Pending => Type::Pending,
                    StreamKind::Buffered => Type::Buffered,
                };
                (stream.id.as_str(), kind, stream.created, stream.committed())
            }
        };
        let full = view == WriteStreamView::Full;
        WriteStream {
            name: stream_name(&self.project, table, id),
            r#type: kind.into(),
            create_time: Some(timestamp(created)),
            commit_time: committed.map(timestamp),
            table_schema: full.then(|| schema::to_proto(&table.definition().schema)),
            write_mode: WriteMode::Insert.into(),
            location: super::LOCATION.to_owned(),
        }
    }
}

fn wrong_type(name: &str) -> Refusal {
    let message = "The default stream is neither finalized, flushed nor committed.";
    Refusal::storage(Code::InvalidArgument, StorageErrorCode::InvalidStreamType, message, name)
}

fn timestamp(micros: i64) -> Timestamp {
    let nanos = micros.rem_euclid(1_000_000) * 1000;
    Timestamp { seconds: micros.div_euclid(1_000_000), nanos: i32::try_from(nanos).unwrap_or_default() }
}
