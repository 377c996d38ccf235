//! A peer that speaks Storage Write's real wire and answers as it is told.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use googleapis::google::{
    cloud::bigquery::storage::v1::{
        AppendRowsRequest, AppendRowsResponse, BatchCommitWriteStreamsRequest, BatchCommitWriteStreamsResponse,
        CreateWriteStreamRequest, FinalizeWriteStreamRequest, FinalizeWriteStreamResponse, FlushRowsRequest,
        FlushRowsResponse, GetWriteStreamRequest, RowError, StorageError, TableSchema, WriteStream,
        append_rows_request::Rows,
        append_rows_response::{AppendResult, Response as Answer},
        big_query_write_server::{BigQueryWrite, BigQueryWriteServer},
        storage_error::StorageErrorCode,
    },
    rpc,
};
use prost::Message as _;
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    sync::{Semaphore, mpsc},
};
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tonic::{Code, Request, Response, Status, Streaming, transport::Server};

/// What the peer does about one request.
pub(crate) enum Step {
    Ok,
    /// Ok, once the gate has a permit.
    Gate(Arc<Semaphore>),
    /// Ok, and the table has these columns now.
    Schema(TableSchema),
    /// An error inside the answer.
    Error(Code, Option<StorageErrorCode>),
    /// These rows are bad.
    RowErrors(Vec<i64>),
    /// The stream ends with this.
    Break(Code, Option<StorageErrorCode>),
    /// No answer, ever.
    Silence,
}

/// One AppendRows request, and on which stream of the wire it came.
pub(crate) struct Seen {
    pub(crate) call: usize,
    pub(crate) request: AppendRowsRequest,
}

impl Seen {
    pub(crate) fn rows(&self) -> Vec<String> {
        let Some(Rows::ProtoRows(data)) = &self.request.rows else { return Vec::new() };
        let rows = data.rows.iter().flat_map(|rows| &rows.serialized_rows);
        rows.map(|row| String::from_utf8_lossy(row).into_owned()).collect()
    }

    pub(crate) fn columns(&self) -> Option<Vec<String>> {
        let Some(Rows::ProtoRows(data)) = &self.request.rows else { return None };
        let descriptor = data.writer_schema.as_ref()?.proto_descriptor.as_ref()?;
        Some(descriptor.field.iter().map(|field| field.name().to_owned()).collect())
    }
}

#[derive(Default)]
struct State {
    script: VecDeque<Step>,
    seen: Vec<Seen>,
    calls: usize,
    routing: Vec<String>,
}

/// The peer. Steps that were not scripted are [`Step::Ok`].
#[derive(Clone, Default)]
pub(crate) struct Peer {
    state: Arc<Mutex<State>>,
}

pub(crate) struct Running {
    pub(crate) peer: Peer,
    pub(crate) endpoint: String,
    /// Its own, so that a kill takes everything with it.
    runtime: Option<Runtime>,
}

impl Running {
    /// Drops the port and every connection, as a killed server does.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Peer {
    pub(crate) fn start(script: impl IntoIterator<Item = Step>) -> Running {
        let peer = Self::default();
        peer.state().script.extend(script);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address: SocketAddr = listener.local_addr().expect("an address");
        listener.set_nonblocking(true).expect("a socket");
        let service = BigQueryWriteServer::new(peer.clone()).max_decoding_message_size(20 << 20);
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        runtime.spawn(async move {
            let incoming = TcpListenerStream::new(TcpListener::from_std(listener).expect("a listener"));
            Server::builder().add_service(service).serve_with_incoming(incoming).await.expect("a server");
        });
        Running { peer, endpoint: format!("http://{address}"), runtime: Some(runtime) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    pub(crate) fn with_seen<T>(&self, look: impl FnOnce(&[Seen]) -> T) -> T {
        look(&self.state().seen)
    }

    /// The rows of each request so far.
    pub(crate) fn rows(&self) -> Vec<Vec<String>> {
        self.with_seen(|seen| seen.iter().map(Seen::rows).collect())
    }

    /// On which stream of the wire each request came.
    pub(crate) fn calls(&self) -> Vec<usize> {
        self.with_seen(|seen| seen.iter().map(|seen| seen.call).collect())
    }

    pub(crate) fn routing(&self) -> Vec<String> {
        self.state().routing.clone()
    }

    fn note_routing<T>(&self, request: &Request<T>) {
        let routing = request.metadata().get("x-goog-request-params").and_then(|value| value.to_str().ok());
        self.state().routing.push(routing.unwrap_or_default().to_owned());
    }
}

pub(crate) fn status(code: Code, storage: Option<StorageErrorCode>) -> rpc::Status {
    let details = storage.map(|storage| prost_types::Any {
        type_url: "type.googleapis.com/google.cloud.bigquery.storage.v1.StorageError".into(),
        value: StorageError { code: storage.into(), ..StorageError::default() }.encode_to_vec(),
    });
    rpc::Status { code: code.into(), message: format!("scripted {code:?}"), details: details.into_iter().collect() }
}

fn broken(code: Code, storage: Option<StorageErrorCode>) -> Status {
    let status = status(code, storage);
    Status::with_details(code, status.message.clone(), status.encode_to_vec().into())
}

fn ok(offset: Option<i64>) -> AppendRowsResponse {
    AppendRowsResponse { response: Some(Answer::AppendResult(AppendResult { offset })), ..Default::default() }
}

type Answers = mpsc::UnboundedSender<Result<AppendRowsResponse, Status>>;

/// Follows the script for one request; says whether the stream goes on.
async fn follow(step: Step, offset: Option<i64>, answers: &Answers) -> bool {
    let answer = match step {
        Step::Ok => ok(offset),
        Step::Gate(gate) => {
            gate.acquire().await.expect("an open gate").forget();
            ok(offset)
        }
        Step::Schema(schema) => AppendRowsResponse { updated_schema: Some(schema), ..ok(offset) },
        Step::Error(code, storage) => {
            AppendRowsResponse { response: Some(Answer::Error(status(code, storage))), ..Default::default() }
        }
        Step::RowErrors(rows) => AppendRowsResponse {
            response: Some(Answer::Error(status(Code::InvalidArgument, None))),
            row_errors: rows
                .iter()
                .map(|index| RowError { index: *index, code: 1, message: format!("row {index}") })
                .collect(),
            ..Default::default()
        },
        Step::Break(code, storage) => {
            let _ = answers.send(Err(broken(code, storage)));
            return false;
        }
        Step::Silence => return std::future::pending().await,
    };
    answers.send(Ok(answer)).is_ok()
}

#[tonic::async_trait]
impl BigQueryWrite for Peer {
    type AppendRowsStream = UnboundedReceiverStream<Result<AppendRowsResponse, Status>>;

    async fn append_rows(
        &self,
        request: Request<Streaming<AppendRowsRequest>>,
    ) -> Result<Response<Self::AppendRowsStream>, Status> {
        self.note_routing(&request);
        let mut requests = request.into_inner();
        let (answers, receiver) = mpsc::unbounded_channel();
        let (steps, mut queue) = mpsc::unbounded_channel();
        let peer = self.clone();
        let call = {
            let mut state = self.state();
            state.calls += 1;
            state.calls - 1
        };
        // Requests are read as they come, whatever the answers wait for.
        tokio::spawn(async move {
            while let Ok(Some(request)) = requests.message().await {
                let mut state = peer.state();
                let step = state.script.pop_front().unwrap_or(Step::Ok);
                let _ = steps.send((step, request.offset));
                state.seen.push(Seen { call, request });
            }
        });
        tokio::spawn(async move {
            while let Some((step, offset)) = queue.recv().await {
                if !follow(step, offset, &answers).await {
                    return;
                }
            }
        });
        Ok(Response::new(UnboundedReceiverStream::new(receiver)))
    }

    async fn create_write_stream(
        &self,
        request: Request<CreateWriteStreamRequest>,
    ) -> Result<Response<WriteStream>, Status> {
        self.note_routing(&request);
        let request = request.into_inner();
        if request.parent.ends_with("/absent") {
            return Err(broken(Code::NotFound, Some(StorageErrorCode::TableNotFound)));
        }
        let stream = request.write_stream.unwrap_or_default();
        Ok(Response::new(WriteStream { name: format!("{}/streams/type{}", request.parent, stream.r#type), ..stream }))
    }

    async fn get_write_stream(&self, request: Request<GetWriteStreamRequest>) -> Result<Response<WriteStream>, Status> {
        self.note_routing(&request);
        let create_time = Some(prost_types::Timestamp { seconds: 7, nanos: 0 });
        let name = request.into_inner().name;
        Ok(Response::new(WriteStream { name, create_time, location: "eu".into(), ..WriteStream::default() }))
    }

    async fn finalize_write_stream(
        &self,
        request: Request<FinalizeWriteStreamRequest>,
    ) -> Result<Response<FinalizeWriteStreamResponse>, Status> {
        self.note_routing(&request);
        Ok(Response::new(FinalizeWriteStreamResponse { row_count: 42 }))
    }

    async fn batch_commit_write_streams(
        &self,
        _: Request<BatchCommitWriteStreamsRequest>,
    ) -> Result<Response<BatchCommitWriteStreamsResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn flush_rows(&self, _: Request<FlushRowsRequest>) -> Result<Response<FlushRowsResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }
}
