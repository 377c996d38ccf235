//! The archive's object store against the local Cloud Storage: what arrives is what was sent, whatever goes wrong.

use std::collections::BTreeMap;

use archive::{ManifestEntry, ObjectWriter, Records, object_name};
use event::{Message, Timestamp};
use local_cloud::{Action, Faults, LocalCloud, Options, Rule, When};
use objects::{ObjectStore, StoreConfig, StoreError};
use tonic::Code;

const MIB: usize = 1 << 20;

async fn world() -> (LocalCloud, ObjectStore, Faults) {
    let faults = Faults::default();
    let cloud = LocalCloud::start(Options { faults: faults.clone(), ..Options::default() }).await.expect("a cloud");
    let endpoint = Some(cloud.endpoints().storage.clone());
    let store = ObjectStore::connect(&StoreConfig { bucket: "pipas-archive".into(), endpoint }).await.expect("a store");
    store.ensure_bucket("pipas-local").await.expect("a bucket");
    store.ensure_bucket("pipas-local").await.expect("the same bucket");
    store.check().await.expect("it is there");
    (cloud, store, faults)
}

fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

async fn upload(store: &ObjectStore, name: &str, bytes: &[u8]) -> Result<objects::StoredObject, StoreError> {
    let mut upload = store.upload(name, "application/avro").await?;
    for part in bytes.chunks(700_001) {
        upload.write(part).await?;
    }
    upload.finish().await
}

#[tokio::test]
async fn every_size_arrives() {
    let (cloud, store, _) = world().await;
    for size in [0, 1, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 20 * MIB + 5] {
        let (name, bytes) = (format!("s/{size}"), pattern(size));
        let object = upload(&store, &name, &bytes).await.expect("an object");
        assert_eq!((object.bytes, object.crc32c), (size as u64, crc32c::crc32c(&bytes)));
        assert_eq!(store.find(&name).await.expect("an answer"), Some(object));
        assert!(store.read(&name).await.expect("the bytes") == bytes);
    }
    cloud.shutdown().await.expect("a clean end");
}

#[tokio::test]
async fn an_upload_survives_every_fault() {
    let (cloud, store, faults) = world().await;
    let bytes = pattern(20 * MIB + 5);
    let unavailable = || Action::error(Code::Unavailable, "away");
    for (at, (call, when, action)) in [
        ("storage/PUT", When::Next(2), Action::DropConnection),
        ("storage/PUT", When::Every(2), Action::ApplyThenFail),
        ("storage/PUT", When::Every(3), unavailable()),
        ("storage/P*", When::Next(3), unavailable()),
        ("storage/partial-persist", When::Every(2), Action::ApplyThenFail),
        ("storage/*", When::Probability { probability: 0.4, seed: 4 }, Action::ApplyThenFail),
        ("storage/*", When::Probability { probability: 0.4, seed: 7 }, Action::DropConnection),
    ]
    .into_iter()
    .enumerate()
    {
        let id = faults.inject(Rule::new(call, when, action));
        let name = format!("s/{at}");
        let object = upload(&store, &name, &bytes).await.expect("an object");
        assert!(faults.fired(id) > Some(0), "rule {at} took no call");
        faults.clear();
        assert_eq!(object.crc32c, crc32c::crc32c(&bytes), "rule {at}");
        assert!(store.read(&name).await.expect("the bytes") == bytes, "rule {at}");
    }
    cloud.shutdown().await.expect("a clean end");
}

#[tokio::test]
async fn what_does_not_pass_is_an_error_and_leaves_nothing() {
    let (cloud, store, faults) = world().await;
    upload(&store, "s/taken", b"theirs").await.expect("an object");
    assert!(matches!(store.upload("s/taken", "x/y").await, Err(StoreError::Exists { .. })));
    // Taken while the upload was under way: the end says so, and the other object stays.
    let late = store.upload("s/late", "x/y").await.expect("an upload");
    upload(&store, "s/late", b"theirs").await.expect("an object");
    assert!(matches!(late.finish().await, Err(StoreError::Exists { .. })));
    assert_eq!(store.read("s/late").await.expect("the bytes"), "theirs");

    let mut abandoned = store.upload("s/abandoned", "x/y").await.expect("an upload");
    abandoned.write(&pattern(9 * MIB)).await.expect("a chunk");
    abandoned.abandon().await;
    assert_eq!(store.find("s/abandoned").await.expect("an answer"), None);

    faults.inject(Rule::new("storage/PUT", When::Every(1), Action::error(Code::PermissionDenied, "no")));
    let refused = upload(&store, "s/refused", b"x").await.expect_err("a refusal");
    assert!(matches!(refused, StoreError::Refused { status: 403, .. }), "{refused}");
    faults.clear();
    assert!(matches!(store.read("s/none").await, Err(StoreError::NotFound { .. })));
    let endpoint = Some(cloud.endpoints().storage.clone());
    let nowhere = ObjectStore::connect(&StoreConfig { bucket: "nowhere".into(), endpoint }).await.expect("a store");
    assert!(matches!(nowhere.check().await, Err(StoreError::NotFound { .. })));
    assert!(matches!(nowhere.upload("x", "x/y").await, Err(StoreError::NotFound { .. })));
    cloud.shutdown().await.expect("a clean end");
}

#[tokio::test]
async fn small_objects_are_made_once_listed_and_removed() {
    let (cloud, store, faults) = world().await;
    faults.inject(Rule::new("storage/POST", When::Next(1), Action::ApplyThenFail));
    store.create("m/1", "text/plain", "one".into()).await.expect("an object, and a retry that finds it");
    store.create("m/1", "text/plain", "one".into()).await.expect("the same again");
    assert!(matches!(store.create("m/1", "text/plain", "two".into()).await, Err(StoreError::Exists { .. })));
    for at in 0..1100 {
        store.create(&format!("n/{at:04} ?#é"), "text/plain", "x".into()).await.expect("an object");
    }
    let all = store.list_all("n/").await.expect("a list");
    assert_eq!(all.len(), 1100);
    assert!(all.is_sorted_by(|a, b| a.name < b.name));
    let one = &all[7];
    assert_eq!(one.name, "n/0007 ?#é");
    store.delete(&one.name, one.generation).await.expect("removed");
    store.delete(&one.name, one.generation).await.expect("removed already");
    assert_eq!(store.find(&one.name).await.expect("an answer"), None);
    let wrong = store.delete(&all[8].name, 1).await.expect_err("another generation");
    assert!(matches!(wrong, StoreError::Refused { status: 412, .. }), "{wrong}");
    cloud.shutdown().await.expect("a clean end");
}

#[tokio::test]
async fn an_avro_object_and_its_manifest_entry() {
    let (cloud, store, _) = world().await;
    let start: Timestamp = "2024-02-01T10:04:46.123456Z".parse().expect("a time");
    let message = |at: i64| Message {
        message_id: at.to_string(),
        publish_time: start + std::time::Duration::from_micros(at as u64),
        ordering_key: "k".into(),
        attributes: BTreeMap::from([("ce-id".into(), format!("e-{at}"))]),
        data: format!("{{\"at\":{at},\"noise\":{:?}}}", pattern(at as usize % 300)).into(),
    };
    let codec = catalog::Codec::Zstd;
    let name = object_name("courier-chat", start, uuid::Uuid::new_v4());
    let mut writer = ObjectWriter::new("projects/p/subscriptions/courier-chat-archive", codec).expect("a writer");
    let mut upload = store.upload(&name, "application/avro").await.expect("an upload");
    for at in 0..20_000 {
        writer.append(&message(at)).expect("a record");
        upload.write(&writer.take()).await.expect("sent");
    }
    let (rest, summary) = writer.finish().expect("an end").expect("messages");
    upload.write(&rest).await.expect("sent");
    let object = upload.finish().await.expect("an object");
    let entry = ManifestEntry::new("courier-chat", &object, &summary, codec);
    entry.write(&store).await.expect("an entry");
    entry.write(&store).await.expect("the same entry");

    let entries = archive::entries(&store, "courier-chat", None, None).await.expect("entries");
    assert_eq!(entries, [entry]);
    let found = &entries[0];
    assert_eq!((found.records, found.first_publish_time), (20_000, start));
    assert_eq!((found.min_message_id.as_deref(), found.max_message_id.as_deref()), (Some("0"), Some("9999")));
    for (from, to, count) in [(-1, 1, 1), (0, 20_000, 1), (19_999, 99_999, 1), (20_000, 99_999, 0), (-9, 0, 0)] {
        let [from, to] = [from, to].map(|at| Some(start + jiff::SignedDuration::from_micros(at)));
        let entries = archive::entries(&store, "courier-chat", from, to).await.expect("entries");
        assert_eq!(entries.len(), count, "{from:?} to {to:?}");
    }
    let mut download = store.download(&found.object, Some(found.generation)).await.expect("a download");
    while download.next().await.expect("a part").is_some() {}
    assert_eq!((download.bytes(), format!("{:08x}", download.crc32c())), (found.bytes, found.crc32c.clone()));
    let file = store.read(&found.object).await.expect("the file");
    assert_eq!(format!("{:08x}", crc32c::crc32c(&file)), found.crc32c);
    let records = Records::new(file.as_ref()).expect("a file");
    for (at, record) in records.enumerate() {
        assert_eq!(record.expect("a record"), message(at as i64));
    }
    cloud.shutdown().await.expect("a clean end");
}
