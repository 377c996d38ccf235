//! AppendRows as it goes over the wire. It is Google's message field for field, but with the descriptor as bytes: prost's
//! `DescriptorProto` would drop the `column_name` annotations, and each request would copy the whole tree.

use bytes::Bytes;
use googleapis::google::cloud::bigquery::storage::v1::{AppendRowsResponse, ProtoRows};
use prost::Message;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Request, Response, Status, Streaming, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};

/// What the service takes and sends, in bytes; tonic's own limit is 4 MB.
pub(crate) const MAX_MESSAGE_BYTES: usize = 20 * 1024 * 1024;

const APPEND_ROWS: &str = "/google.cloud.bigquery.storage.v1.BigQueryWrite/AppendRows";

/// `google.cloud.bigquery.storage.v1.AppendRowsRequest`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct AppendRowsRequest {
    #[prost(string, tag = "1")]
    pub(crate) write_stream: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) offset: Option<i64>,
    #[prost(message, optional, tag = "4")]
    pub(crate) proto_rows: Option<ProtoData>,
    #[prost(string, tag = "6")]
    pub(crate) trace_id: String,
    #[prost(int32, tag = "8")]
    pub(crate) default_missing_value_interpretation: i32,
}

/// `AppendRowsRequest.ProtoData`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ProtoData {
    #[prost(message, optional, tag = "1")]
    pub(crate) writer_schema: Option<ProtoSchema>,
    #[prost(message, optional, tag = "2")]
    pub(crate) rows: Option<ProtoRows>,
}

/// `google.cloud.bigquery.storage.v1.ProtoSchema`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ProtoSchema {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) proto_descriptor: Bytes,
}

/// Opens an AppendRows stream. Does not return before the first of `requests` was sent and the service answered it with
/// headers at least.
pub(crate) async fn append_rows(
    channel: Channel,
    requests: Request<UnboundedReceiverStream<AppendRowsRequest>>,
) -> Result<Response<Streaming<AppendRowsResponse>>, Status> {
    let mut grpc =
        Grpc::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES);
    grpc.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
    let codec = tonic_prost::ProstCodec::<AppendRowsRequest, AppendRowsResponse>::default();
    grpc.streaming(requests, PathAndQuery::from_static(APPEND_ROWS), codec).await
}

#[cfg(test)]
mod tests {
    use googleapis::google::cloud::bigquery::storage::v1 as google;

    use super::*;

    #[test]
    fn google_reads_what_we_write() {
        let rows = ProtoRows { serialized_rows: vec![Bytes::from_static(b"row")] };
        let descriptor = prost_types::DescriptorProto { name: Some("Row".into()), ..Default::default() };
        let ours = AppendRowsRequest {
            write_stream: "s".into(),
            offset: Some(7),
            proto_rows: Some(ProtoData {
                writer_schema: Some(ProtoSchema { proto_descriptor: descriptor.encode_to_vec().into() }),
                rows: Some(rows.clone()),
            }),
            trace_id: "pipas".into(),
            default_missing_value_interpretation: 2,
        };
        let theirs = google::AppendRowsRequest::decode(ours.encode_to_vec().as_slice()).expect("a request");
        let expected = google::AppendRowsRequest {
            write_stream: "s".into(),
            offset: Some(7),
            trace_id: "pipas".into(),
            default_missing_value_interpretation: 2,
            rows: Some(google::append_rows_request::Rows::ProtoRows(google::append_rows_request::ProtoData {
                writer_schema: Some(google::ProtoSchema { proto_descriptor: Some(descriptor) }),
                rows: Some(rows),
            })),
            ..Default::default()
        };
        assert_eq!(theirs, expected);
    }
}
