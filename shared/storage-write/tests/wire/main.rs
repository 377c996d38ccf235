//! The clients against a scripted peer on the real wire: what is sent, and what each answer is taken for.

mod appender;
mod calls;
mod connection;
mod server;
mod stream_writer;
mod tables;

use std::{future::Future, time::Duration};

use bytes::Bytes;
use catalog::{TableName, TableSchema};
use storage_write::{AppendRequest, Client, ClientConfig, Metrics, SharedDescriptor, WriteStreamName};

/// Nothing here takes this long unless it hangs.
const DEADLINE: Duration = Duration::from_secs(20);

fn client(endpoint: &str, change: impl FnOnce(&mut ClientConfig)) -> Client {
    let mut config = ClientConfig::new("p", Some(endpoint.to_owned()));
    change(&mut config);
    let metrics = Metrics::new(&prometheus::Registry::new()).expect("metrics");
    Client::connect(config, metrics).expect("a client")
}

fn table(name: &str) -> TableName {
    TableName { dataset: "d".into(), table: name.into() }
}

fn schema(columns: &[&str]) -> TableSchema {
    let columns: Vec<String> = columns.iter().map(|name| format!(r#"{{"name":"{name}","type":"STRING"}}"#)).collect();
    serde_json::from_str(&format!("[{}]", columns.join(","))).expect("a schema")
}

fn descriptor(columns: &[&str]) -> SharedDescriptor {
    SharedDescriptor::new(&schema(columns)).expect("a descriptor")
}

fn rows(texts: &[&'static str]) -> Vec<Bytes> {
    texts.iter().map(|text| Bytes::from_static(text.as_bytes())).collect()
}

/// Rows for the default stream of the table `name`, which has the column `a`.
fn append_to(name: &str, texts: &[&'static str]) -> AppendRequest {
    let stream = WriteStreamName::default_of("p", &table(name));
    AppendRequest { stream, offset: None, rows: rows(texts), descriptor: descriptor(&["a"]) }
}

/// Looks until `check` holds.
async fn until(what: &str, mut check: impl FnMut() -> bool) {
    let looking = async {
        while !check() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(DEADLINE, looking).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// What `future` answers, which must be soon.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("an answer in time")
}
