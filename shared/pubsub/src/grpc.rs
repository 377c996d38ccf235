use std::time::Duration;

use google_cloud_auth::credentials::{CacheableResource, Credentials};
use http::{Extensions, HeaderMap};
use tokio::time::{Instant, sleep};
use tonic::{
    Code, Request, Response, Status,
    metadata::{KeyAndValueRef, MetadataMap},
    transport::{Channel, ClientTlsConfig, Endpoint, Error},
};

/// How long a call is tried again.
const LIMIT: Duration = Duration::from_secs(30);
/// The first pause between two tries, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Calls over gRPC with credentials, tried again where that can help.
#[derive(Debug, Clone)]
pub(crate) struct Grpc {
    channel: Channel,
    credentials: Credentials,
}

impl Grpc {
    /// Connects at the first call.
    pub(crate) fn new(endpoint: &str, credentials: Credentials) -> Result<Self, Error> {
        let mut builder =
            Endpoint::from_shared(endpoint.to_owned())?.connect_timeout(Duration::from_secs(5)).timeout(LIMIT);
        if endpoint.starts_with("https://") {
            builder = builder.tls_config(ClientTlsConfig::new().with_native_roots())?;
        }
        Ok(Self { channel: builder.connect_lazy(), credentials })
    }

    /// Makes `call`, which must be one that can be made twice. `resource` routes it: the field that names it, and its name.
    pub(crate) async fn call<Q: Clone, A>(
        &self,
        resource: (&str, &str),
        message: Q,
        call: impl AsyncFn(Channel, Request<Q>) -> Result<Response<A>, Status>,
    ) -> Result<A, Status> {
        let until = Instant::now() + LIMIT;
        let mut pause = PAUSES.0;
        loop {
            let request = self.request(resource, message.clone()).await?;
            match call(self.channel.clone(), request).await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) if is_passing(status.code()) && Instant::now() + pause < until => sleep(pause).await,
                Err(status) => return Err(status),
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    async fn request<Q>(&self, (key, resource): (&str, &str), message: Q) -> Result<Request<Q>, Status> {
        let mut request = Request::new(message);
        let headers = match self.credentials.headers(Extensions::new()).await {
            Ok(CacheableResource::New { data, .. }) => data,
            // Only given in answer to an entity tag, and none was sent.
            Ok(CacheableResource::NotModified) => HeaderMap::new(),
            Err(error) => return Err(Status::unauthenticated(error.to_string())),
        };
        for entry in MetadataMap::from_headers(headers).iter() {
            if let KeyAndValueRef::Ascii(key, value) = entry {
                request.metadata_mut().insert(key.clone(), value.clone());
            }
        }
        let routing = format!("{key}={resource}").parse();
        let routing = routing.map_err(|_| Status::invalid_argument(format!("{resource} is no resource name")))?;
        request.metadata_mut().insert("x-goog-request-params", routing);
        Ok(request)
    }
}

fn is_passing(code: Code) -> bool {
    use Code::{Aborted, DeadlineExceeded, Internal, ResourceExhausted, Unavailable, Unknown};
    matches!(code, Aborted | DeadlineExceeded | Internal | ResourceExhausted | Unavailable | Unknown)
}
