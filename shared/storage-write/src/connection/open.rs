//! One AppendRows call.

use std::{collections::HashMap, error::Error};

use futures::{Stream, StreamExt, TryStreamExt, stream, stream::BoxStream};
use googleapis::google::cloud::bigquery::storage::v1::{
    AppendRowsResponse, ProtoRows, append_rows_request::MissingValueInterpretation,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{ConnectError, Request, Response, Status};

use super::AppendRequest;
use rows::SharedDescriptor;

use crate::{
    client::{Client, WriteStreamName},
    error::{AppendError, Fault},
    metrics::OpenConnection,
    wire::{self, AppendRowsRequest, ProtoData, ProtoSchema},
};

/// Who writes, in the service's own logs.
const TRACE_ID: &str = "pipas";

/// How a call ended.
pub(super) enum Broken {
    /// No request of it can have reached the service.
    BeforeSending(Status),
    /// The service, or the way to it, ended it.
    Ended(Status),
}

impl Broken {
    /// What it means for the first request that has no answer.
    pub(super) fn error(&self) -> AppendError {
        match self {
            Self::BeforeSending(status) => AppendError::not_sent(Fault::from_status(status)),
            Self::Ended(status) => AppendError::by_broken_stream(status),
        }
    }

    /// What it means for the requests after the first.
    pub(super) fn error_of_followers(&self) -> AppendError {
        match self {
            Self::BeforeSending(_) => self.error(),
            Self::Ended(status) => AppendError::unknown(format!("the stream broke: {}", status.message())),
        }
    }
}

/// One AppendRows call, from its first request on.
pub(super) struct Open {
    requests: mpsc::UnboundedSender<AppendRowsRequest>,
    responses: BoxStream<'static, Result<AppendRowsResponse, Broken>>,
    known: HashMap<WriteStreamName, Known>,
    last: Option<WriteStreamName>,
    _counted: OpenConnection,
}

/// What was said of a stream on this call.
struct Known {
    descriptor: SharedDescriptor,
    /// The service has worked with the descriptor. A request that it refused may have left none behind.
    is_accepted: bool,
}

impl Open {
    pub(super) fn new(client: &Client, stream: &WriteStreamName) -> Self {
        let (requests, receiver) = mpsc::unbounded_channel();
        let responses = responses(client.clone(), stream.clone(), receiver).boxed();
        Self { requests, responses, known: HashMap::new(), last: None, _counted: client.metrics.connection() }
    }

    /// Whether `request` can go over this call. Default streams share one, and a stream keeps its descriptor while it lasts.
    pub(super) fn takes(&self, request: &AppendRequest) -> bool {
        let shares =
            |last: &WriteStreamName| *last == request.stream || last.is_default() && request.stream.is_default();
        let keeps = self.known.get(&request.stream).is_none_or(|known| known.descriptor == request.descriptor);
        self.last.as_ref().is_none_or(shares) && keeps
    }

    /// Sends `request`. Where the call has ended already, its end comes out of [`Self::next`].
    ///
    /// The schema goes with it where the service asks for it (first request, another table; the schema of a stream never
    /// changes on a call), and until the service has accepted it.
    pub(super) fn send(&mut self, request: &AppendRequest) {
        let is_first_of_stream = !self.known.contains_key(&request.stream);
        let known = self
            .known
            .entry(request.stream.clone())
            .or_insert_with(|| Known { descriptor: request.descriptor.clone(), is_accepted: false });
        let changes_table = self.last.as_ref() != Some(&request.stream);
        let introduces = changes_table || !known.is_accepted;
        let is_multiplexed = self.known.len() > 1;
        // "The destination changed in request_4, so the write_stream field must be populated in all subsequent requests."
        let names_stream = introduces || is_multiplexed;
        self.last = Some(request.stream.clone());
        let schema = introduces.then(|| ProtoSchema { proto_descriptor: request.descriptor.bytes().clone() });
        let interpretation = if request.descriptor.has_defaults() {
            MissingValueInterpretation::DefaultValue
        } else if is_multiplexed {
            MissingValueInterpretation::NullValue
        } else {
            MissingValueInterpretation::Unspecified
        };
        let message = AppendRowsRequest {
            write_stream: if names_stream { request.stream.as_str().to_owned() } else { String::new() },
            offset: request.offset,
            proto_rows: Some(ProtoData {
                writer_schema: schema,
                rows: Some(ProtoRows { serialized_rows: request.rows.clone() }),
            }),
            trace_id: if is_first_of_stream { TRACE_ID.to_owned() } else { String::new() },
            default_missing_value_interpretation: interpretation.into(),
        };
        let _ = self.requests.send(message);
    }

    /// The service has worked with the schema of `stream`: later requests need not repeat it.
    pub(super) fn accepted(&mut self, stream: &WriteStreamName) {
        if let Some(known) = self.known.get_mut(stream) {
            known.is_accepted = true;
        }
    }

    /// The next answer, or how the call ended.
    pub(super) async fn next(&mut self) -> Result<AppendRowsResponse, Broken> {
        let ended = || Err(Broken::Ended(Status::unavailable("the service closed the stream")));
        self.responses.next().await.unwrap_or_else(ended)
    }
}

fn responses(
    client: Client,
    stream: WriteStreamName,
    requests: mpsc::UnboundedReceiver<AppendRowsRequest>,
) -> impl Stream<Item = Result<AppendRowsResponse, Broken>> + Send + 'static {
    let opening = async move {
        let metadata = client.headers("write_stream", stream.as_str()).await.map_err(Broken::BeforeSending)?;
        let mut request = Request::new(UnboundedReceiverStream::new(requests));
        *request.metadata_mut() = metadata;
        client.metrics.connects.inc();
        let opened = wire::append_rows(client.new_channel(), request).await;
        let responses = opened.map(Response::into_inner).map_err(broken)?;
        Ok(responses.map_err(broken))
    };
    stream::once(opening).try_flatten()
}

fn broken(status: Status) -> Broken {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&status);
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return Broken::BeforeSending(status);
        }
        cause = error.source();
    }
    Broken::Ended(status)
}
