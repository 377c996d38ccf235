//! The servers over the wire.

mod append;
mod changes;
mod durability;
mod jobs;
mod rest;
mod streams;

use std::path::Path;

use bytes::Bytes;
use googleapis::google::cloud::bigquery::storage::v1::{
    AppendRowsRequest, AppendRowsResponse, CreateWriteStreamRequest, ProtoRows, ProtoSchema, StorageError, WriteStream,
    append_rows_request::{ProtoData, Rows},
    append_rows_response::{AppendResult, Response},
    big_query_write_client::BigQueryWriteClient,
    storage_error::StorageErrorCode,
    write_stream::Type as StreamType,
};
use prost::Message;
use prost_types::{
    DescriptorProto, FieldDescriptorProto,
    field_descriptor_proto::{Label, Type},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, transport::Channel};

use super::{Server, start};
use crate::faults::Faults;

const TABLE: &str = "projects/p/datasets/d/tables/t";
const DEFAULT: &str = "projects/p/datasets/d/tables/t/streams/_default";

/// A server and its clients.
struct World {
    server: Server,
    base: String,
    http: reqwest::Client,
    write: BigQueryWriteClient<Channel>,
    faults: Faults,
}

impl World {
    async fn start(dir: Option<&Path>) -> Self {
        let rest = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let grpc = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}/bigquery/v2/projects/p", rest.local_addr().expect("an address"));
        let target = format!("http://{}", grpc.local_addr().expect("an address"));
        let faults = Faults::default();
        let server = start(rest, grpc, dir.map(Path::to_owned), "p".into(), faults.clone()).await.expect("starts");
        let write = BigQueryWriteClient::connect(target).await.expect("connects").max_encoding_message_size(64 << 20);
        Self { server, base, http: reqwest::Client::new(), write, faults }
    }

    /// With the dataset `d` and in it the table `t`: `id STRING REQUIRED, n INTEGER`.
    async fn with_table(dir: Option<&Path>) -> Self {
        let world = Self::start(dir).await;
        let dataset = json!({"datasetReference": {"projectId": "p", "datasetId": "d"}});
        world.call("POST", "/datasets", Some(dataset)).await.expect(200);
        let table = json!({
            "tableReference": {"projectId": "p", "datasetId": "d", "tableId": "t"},
            "schema": {"fields": [
                {"name": "id", "type": "STRING", "mode": "REQUIRED"},
                {"name": "n", "type": "INTEGER"},
            ]},
        });
        world.call("POST", "/datasets/d/tables", Some(table)).await.expect(200);
        world
    }

    async fn stop(self) {
        let Self { server, write, http, .. } = self;
        drop((write, http));
        server.shutdown().await.expect("stops");
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let method = method.parse().expect("a method");
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("JSON") };
        Answer { status, body }
    }

    /// The ids in the table, in its order.
    async fn ids(&self) -> Vec<String> {
        let data = self.call("GET", "/datasets/d/tables/t/data", None).await.expect(200);
        let rows = data["rows"].as_array().cloned().unwrap_or_default();
        rows.iter().map(|row| row["f"][0]["v"].as_str().expect("an id").to_owned()).collect()
    }

    async fn create(&mut self, kind: StreamType) -> String {
        let write_stream = Some(WriteStream { r#type: kind.into(), ..Default::default() });
        let request = CreateWriteStreamRequest { parent: TABLE.into(), write_stream };
        self.write.create_write_stream(request).await.expect("a stream").into_inner().name
    }

    /// One request on a connection of its own.
    async fn append(&mut self, request: AppendRowsRequest) -> AppendRowsResponse {
        let mut connection = self.connect(request).await;
        connection.next().await.expect("an answer")
    }

    async fn connect(&mut self, first: AppendRowsRequest) -> Connection {
        let (requests, queue) = mpsc::channel(1024);
        requests.send(first).await.expect("sent");
        let responses = self.write.append_rows(ReceiverStream::new(queue)).await.expect("connects").into_inner();
        Connection { requests, responses }
    }
}

/// An AppendRows connection.
struct Connection {
    requests: mpsc::Sender<AppendRowsRequest>,
    responses: Streaming<AppendRowsResponse>,
}

impl Connection {
    async fn send(&self, request: AppendRowsRequest) {
        self.requests.send(request).await.expect("sent");
    }

    async fn next(&mut self) -> Result<AppendRowsResponse, tonic::Status> {
        Ok(self.responses.message().await?.expect("the connection goes on"))
    }
}

/// An answer of the REST API.
#[derive(Debug)]
struct Answer {
    status: u16,
    body: Value,
}

impl Answer {
    #[track_caller]
    fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// The reason of an error with this status.
    #[track_caller]
    fn reason(self, status: u16) -> String {
        self.expect(status)["error"]["errors"][0]["reason"].as_str().expect("a reason").to_owned()
    }
}

/// A row as the tests write it.
#[derive(Clone, PartialEq, prost::Message)]
struct Row {
    #[prost(string, optional, tag = "1")]
    id: Option<String>,
    #[prost(int64, optional, tag = "2")]
    n: Option<i64>,
}

fn field(name: &str, number: i32, kind: Type) -> FieldDescriptorProto {
    let mut field = FieldDescriptorProto { name: Some(name.into()), number: Some(number), ..Default::default() };
    field.set_type(kind);
    field.set_label(Label::Optional);
    field
}

fn descriptor(fields: Vec<FieldDescriptorProto>) -> DescriptorProto {
    DescriptorProto { name: Some("Row".into()), field: fields, ..Default::default() }
}

fn rows(ids: &[&str]) -> Vec<Bytes> {
    ids.iter().map(|id| Row { id: Some((*id).into()), n: Some(7) }.encode_to_vec().into()).collect()
}

/// A request with the writer schema of [`Row`].
fn request(stream: &str, offset: Option<i64>, ids: &[&str]) -> AppendRowsRequest {
    let descriptor = descriptor(vec![field("ID", 1, Type::String), field("n", 2, Type::Int64)]);
    raw_request(stream, offset, Some(descriptor), rows(ids))
}

fn raw_request(
    stream: &str,
    offset: Option<i64>,
    descriptor: Option<DescriptorProto>,
    rows: Vec<Bytes>,
) -> AppendRowsRequest {
    let writer_schema = descriptor.map(|descriptor| ProtoSchema { proto_descriptor: Some(descriptor) });
    let rows = Some(ProtoRows { serialized_rows: rows });
    AppendRowsRequest {
        write_stream: stream.into(),
        offset,
        rows: Some(Rows::ProtoRows(ProtoData { writer_schema, rows })),
        ..Default::default()
    }
}

/// The offset of an append that was taken.
#[track_caller]
fn taken(response: &AppendRowsResponse) -> Option<i64> {
    match &response.response {
        Some(Response::AppendResult(AppendResult { offset })) => *offset,
        other => panic!("not taken: {other:?} {:?}", response.row_errors),
    }
}

/// The code and the StorageError of an append that was refused.
#[track_caller]
fn refused(response: &AppendRowsResponse) -> (tonic::Code, Option<StorageErrorCode>) {
    let Some(Response::Error(status)) = &response.response else { panic!("taken: {response:?}") };
    let storage = status.details.first().map(|any| {
        assert_eq!(any.type_url, "type.googleapis.com/google.cloud.bigquery.storage.v1.StorageError");
        StorageError::decode(&any.value[..]).expect("a StorageError").code()
    });
    (status.code.into(), storage)
}
