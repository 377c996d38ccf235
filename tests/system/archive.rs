//! The archive, whatever becomes of its compactors: what was published is in it, and by message id exactly once.
//!
//! `PIPAS_TEST_DRAIN_MESSAGES` and `PIPAS_TEST_DRAIN_KILLS` make the drain under kills longer, and `PIPAS_TEST_DRAIN_BYTES` the one whose
//! memory is measured; `scripts/drain` sets them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    str::FromStr,
    time::{Duration, Instant},
};

use anyhow::Context;
use archive::{ManifestEntry, ObjectWriter, Records, begin, entries, live, object_name};
use catalog::Codec;
use event::{Message, Timestamp};
use local_cloud::{Action, LocalCloud, Rule, When};
use objects::{ObjectStore, StoreConfig, StoreError};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tests::{Setup, World, changed_catalog, eventually, python};
use tokio::task::JoinSet;

const STREAM: &str = "events";
/// What a killed run held comes again when its lease ends, 10 s later.
const PATIENCE: Duration = Duration::from_secs(150);
const MIB: u64 = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_compactor_that_is_killed_again_and_again_loses_nothing() -> anyhow::Result<()> {
    let (messages, kills): (usize, usize) =
        (setting("PIPAS_TEST_DRAIN_MESSAGES", 20_000)?, setting("PIPAS_TEST_DRAIN_KILLS", 5)?);
    let folder = tempfile::tempdir()?;
    // A run takes a twentieth, so that a kill meets runs at every step, and leaves something to those after it.
    let mut world = start(folder.path(), &format!("max_messages: {}", messages / 20), "grace: 24h").await?;
    let store = store(&world).await?;
    let published = publish(&world, messages, 200).await?;
    let mut random = StdRng::seed_from_u64(7);
    for kill in 0..kills {
        let url = world.endpoints.compactor.clone();
        let running = tokio::spawn(async move { while compact(&url, "").await.is_ok() {} });
        tokio::time::sleep(Duration::from_millis(random.random_range(50..700))).await; // where in a run, not what comes of it
        world.take_compactor().context("a compactor")?.kill()?;
        running.await?;
        let archived = archived(&store).await?.len();
        println!("kill {}: {archived} of {messages} are archived", kill + 1);
        assert!(archived < messages, "everything was archived before the kills were over");
        world.start_compactor()?;
    }
    let begun = Instant::now();
    let archived = eventually(PATIENCE, async || {
        compact(&world.endpoints.compactor, "").await?;
        complete(&store, &published).await
    })
    .await?;
    let again: usize = archived.values().map(|count| count - 1).sum();
    println!("{messages} messages, {kills} kills, {again} archived again; the rest took {:?}", begun.elapsed());
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_compactors_and_a_merge_during_the_drain_lose_nothing() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let world = start(folder.path(), "max_messages: 500", "grace: 24h").await?;
    let (store, other) = (store(&world).await?, world.another_compactor()?);
    let published = publish(&world, 8000, 200).await?;
    let mut running = JoinSet::new();
    for url in [world.endpoints.compactor.clone(), other.url.clone()] {
        for query in ["?stream=events", "?stream=events&merge=true&open=true"] {
            let (url, store, published) = (url.clone(), store.clone(), published.clone());
            running.spawn(async move {
                let deadline = Instant::now() + PATIENCE;
                while archived(&store).await?.len() < published.len() {
                    anyhow::ensure!(Instant::now() < deadline, "not all is archived in time");
                    compact(&url, query).await?;
                }
                anyhow::Ok(())
            });
        }
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    complete(&store, &published).await?;
    let all = entries(&store, STREAM, None, None).await?;
    assert!(all.iter().any(|entry| !entry.replaces.is_empty()), "nothing was merged during the drain");
    other.terminate()?;
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_any_two_steps_loses_nothing() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut world = start(folder.path(), "max_messages: 1000000", "grace: 24h").await?;
    let store = store(&world).await?;
    let mut published = BTreeSet::new();
    // The first call of a run's object is the POST that begins its upload, the second the one that makes its entry.
    for (calls, when, step) in [
        ("storage/POST", When::Next(1), "before the upload"),
        ("storage/PUT", When::Next(1), "before the object is final"),
        ("storage/POST", When::Every(2), "between the object and its entry"),
        ("*Acknowledge", When::Next(99), "between the entry and the acks"),
    ] {
        published.extend(publish(&world, 300, 200).await?);
        let (before, objects) = (archived(&store).await?.len(), count(&store, ".avro").await?);
        let rule = world.faults.inject(Rule::new(calls, when, Action::Delay(Duration::from_secs(600))));
        let url = world.endpoints.compactor.clone();
        let running = tokio::spawn(async move { compact(&url, "?stream=events").await });
        eventually(PATIENCE, async || {
            anyhow::ensure!(world.faults.fired(rule) > Some(0), "{step}: the run has not come so far");
            Ok(())
        })
        .await?;
        world.take_compactor().context("a compactor")?.kill()?;
        assert!(running.await?.is_err(), "{step}: the run ended");
        world.faults.clear();
        let made = count(&store, ".avro").await? - objects;
        let listed = archived(&store).await?.len() - before;
        match step {
            "between the object and its entry" => assert_eq!((made, listed), (1, 0), "{step}"),
            "between the entry and the acks" => assert_eq!((made, listed), (1, 300), "{step}"),
            _ => assert_eq!((made, listed), (0, 0), "{step}"),
        }
        world.start_compactor()?;
        eventually(PATIENCE, async || {
            compact(&world.endpoints.compactor, "").await?;
            let acked = world.subscription("events-archive").await?["acked"].as_u64();
            anyhow::ensure!(acked == Some(published.len() as u64), "{acked:?} are acked");
            complete(&store, &published).await
        })
        .await
        .context(step)?;
    }
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn small_objects_become_one_and_are_swept_after_the_grace_time() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut world = start(folder.path(), "max_messages: 200", "grace: 5s").await?;
    let store = store(&world).await?;
    let mut published = publish(&world, 1000, 200).await?;
    drain(&world, &store, &published).await?;
    let small = entries(&store, STREAM, None, None).await?;
    assert!(small.len() >= 5, "{small:#?}");

    let closed = compact(&world.endpoints.compactor, "?stream=events&merge=true").await?;
    assert_eq!(closed[STREAM]["merged"], json!([]), "an hour that is not over was merged");

    // A merge that dies between the object and its entry has changed nothing.
    let rule = Rule::new("storage/POST", When::Every(2), Action::Delay(Duration::from_secs(600)));
    let rule = world.faults.inject(rule);
    let url = world.endpoints.compactor.clone();
    let running = tokio::spawn(async move { compact(&url, "?stream=events&merge=true&open=true").await });
    eventually(PATIENCE, async || {
        anyhow::ensure!(world.faults.fired(rule) > Some(0), "the merge has not come so far");
        Ok(())
    })
    .await?;
    world.take_compactor().context("a compactor")?.kill()?;
    assert!(running.await?.is_err(), "the merge ended");
    world.faults.clear();
    world.start_compactor()?;
    assert_eq!(count(&store, ".avro").await?, small.len() + 1);
    assert_eq!(live(entries(&store, STREAM, None, None).await?), small);

    let merged = compact(&world.endpoints.compactor, "?stream=events&merge=true&open=true").await?[STREAM].clone();
    assert_eq!((&merged["state"], &merged["merged"][0]["of"]), (&json!("merged"), &json!(small.len())), "{merged}");
    let found = live(entries(&store, STREAM, None, None).await?);
    assert_eq!((found.len(), found[0].records), (1, small.iter().map(|entry| entry.records).sum()), "{found:#?}");
    complete(&store, &published).await?;
    for entry in &small {
        store.read(&entry.object).await.context("a reader that listed before the merge")?;
    }

    // What comes late is an object of its own, and merged the next time.
    published.extend(publish(&world, 50, 200).await?);
    drain(&world, &store, &published).await?;
    compact(&world.endpoints.compactor, "?stream=events&merge=true&open=true").await?;
    let found = live(entries(&store, STREAM, None, None).await?);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(small.iter().all(|entry| found[0].replaces.contains(&entry.object)), "{found:#?}");

    // An object whose writer died, and one that is nobody's of ours.
    let name = object_name(STREAM, Timestamp::now(), uuid::Uuid::new_v4());
    let orphan = finish(begin(&store, STREAM, &name).await?, b"torn").await?;
    let foreign = format!("{STREAM}/notes.txt");
    store.create(&foreign, "text/plain", "mine".into()).await?;
    eventually(PATIENCE, async || {
        compact(&world.endpoints.compactor, "?stream=events&merge=true").await?;
        anyhow::ensure!(count(&store, ".avro").await? == 1, "objects are left that should be swept");
        Ok(())
    })
    .await?;
    assert_eq!(complete(&store, &published).await?.values().max(), Some(&1));
    assert_eq!(&store.read(&foreign).await?[..], b"mine");
    // Whoever died before it made the orphan's entry, and wakes now, cannot make it any more, and so acks nothing.
    let late = ManifestEntry { object: orphan.name.clone(), generation: orphan.generation, ..found[0].clone() };
    assert!(matches!(late.write(&store).await, Err(StoreError::Exists { .. })));
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn events_land_as_json_beside_the_archive() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let landing = "codec: deflate\n  landing: { format: ndjson, layout: \"output/{type}/{yyyy}/{table}/\" }";
    let catalog = changed_catalog(folder.path(), "codec: zstd", landing)?;
    let text = std::fs::read_to_string(&catalog)?;
    std::fs::write(&catalog, text.replace("/hr={HH}/", "/hr={HH}/{table}/at-{MM}"))?;
    let world = World::start(Setup { catalog: Some(catalog), ..Setup::default() }).await?;
    let store = store(&world).await?;
    let event = |at: usize| format!("{{\"event_id\":\"e-{at}\",\r\n  \"data\": {{\"text\": \"a\\nb {at}\"}}}}");
    let client = client(&world).await?;
    let publisher = client.publisher(STREAM);
    let outgoing = |data: String, kind: &str| pubsub::Outgoing {
        data: data.into(),
        attributes: BTreeMap::from([("type".to_owned(), kind.to_owned())]),
        ordering_key: String::new(),
    };
    for round in 0..2 {
        let mut messages: Vec<_> =
            (0..50).map(|at| outgoing(event(round * 50 + at), ["a/b", "order"][at % 2])).collect();
        messages.push(outgoing("no JSON".to_owned(), "order"));
        for published in publisher.publish(messages).await {
            published?;
        }
        let report = eventually(PATIENCE, async || {
            let report = compact(&world.endpoints.compactor, "?stream=events").await?[STREAM].clone();
            anyhow::ensure!(report["messages"] == 51, "{report}");
            Ok(report)
        })
        .await?;
        assert_eq!(report["landed"], json!({ "events": 50, "objects": 2, "skipped": 1 }), "{report}");
    }
    let year = Timestamp::now().strftime("%Y").to_string();
    let mut landed = BTreeSet::new();
    for kind in ["a%2Fb", "order"] {
        let objects = store.list_all(&format!("output/{kind}/{year}/events.events/")).await?;
        assert_eq!(objects.len(), 2, "one of each run, and none overwrote the other's");
        for object in objects {
            let bytes = store.read(&object.name).await?;
            for line in std::str::from_utf8(&bytes)?.lines() {
                let event: Value = serde_json::from_str(line)?;
                landed.insert(event["event_id"].as_str().context("an id")?.to_owned());
            }
        }
    }
    assert_eq!(landed, (0..100).map(|at| format!("e-{at}")).collect());
    assert_eq!(archived(&store).await?.len(), 102);
    let entries = entries(&store, STREAM, None, None).await?;
    assert!(entries.iter().all(|entry| entry.codec == "deflate"), "{entries:#?}");
    let at = |folder: &str| entries.iter().filter(|entry| entry.object.contains(folder)).count();
    assert!(at("/events.events/at-") >= 2 && at("/none/at-") >= 1, "{entries:#?}");
    world.stop().await
}

#[tokio::test]
async fn every_codec_is_read_by_fastavro_merged_or_not() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let cloud =
        LocalCloud::start(local_cloud::Options { data_dir: Some(data.path().to_owned()), ..Default::default() });
    let cloud = cloud.await?;
    let config = StoreConfig { bucket: "pipas-archive".into(), endpoint: Some(cloud.endpoints().storage.clone()) };
    let store = ObjectStore::connect(&config).await?;
    store.ensure_bucket("pipas-local").await?;
    let (mut written, mut all) = (Vec::new(), BTreeSet::new());
    for (at, codec) in [Codec::Zstd, Codec::Snappy, Codec::Deflate, Codec::Null].into_iter().enumerate() {
        let time: Timestamp = format!("2024-02-01T10:0{at}:00Z").parse()?;
        let mut writer = ObjectWriter::new("projects/p/subscriptions/s", codec)?;
        for number in 0..3000 {
            let message_id = (at * 3000 + number).to_string();
            all.insert(message_id.clone());
            writer.append(&Message {
                message_id,
                publish_time: time,
                ordering_key: String::new(),
                attributes: BTreeMap::from([("ce-id".into(), "é".into())]),
                data: vec![b'x'; number].into(),
            })?;
        }
        let (file, summary) = writer.finish()?.context("messages")?;
        let name = object_name(STREAM, time, uuid::Uuid::new_v4());
        let object = finish(begin(&store, STREAM, &name).await?, &file).await?;
        let entry = ManifestEntry::new(STREAM, &object, &summary, codec);
        entry.write(&store).await?;
        written.push(entry);
    }
    for codec in [Codec::Snappy, Codec::Deflate, Codec::Null, Codec::Zstd] {
        let merged = archive::merge(&store, &written, codec).await?.context("a merge")?;
        assert_eq!(merged.records, 12_000);
        assert_eq!(archived(&store).await?.into_keys().collect::<BTreeSet<_>>(), all, "{codec:?}");
        let file = data.path().join("storage/pipas-archive").join(&merged.object);
        let header: Value = serde_json::from_str(&python("avro_header.py", &[&file.display().to_string()])?)?;
        let expected = json!({ "codec": merged.codec, "fingerprint": merged.schema_fingerprint, "records": 12_000 });
        assert_eq!(header, expected);
        let dead = archive::merge(&store, &written, codec).await?;
        assert_eq!(dead, None, "what was replaced is not merged again");
        written = vec![merged];
    }
    cloud.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_keeps_to_its_memory() -> anyhow::Result<()> {
    let bytes: usize = setting("PIPAS_TEST_DRAIN_BYTES", 48 << 20)?;
    let folder = tempfile::tempdir()?;
    let world = start(folder.path(), "max_messages: 10000000", "grace: 24h").await?;
    let messages = bytes / 1000;
    publish(&world, messages, 1000).await?;
    let compactor = world.compactor_pid()?;
    let begun = Instant::now();
    let mut drained = 0;
    while drained < messages as u64 {
        assert!(begun.elapsed() < 10 * PATIENCE, "{drained} of {messages} are drained");
        drained +=
            compact(&world.endpoints.compactor, "?stream=events").await?[STREAM]["messages"].as_u64().context("n")?;
    }
    let status = std::fs::read_to_string(format!("/proc/{compactor}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
    let peak: u64 = peak.trim().trim_end_matches("kB").trim().parse()?;
    println!("{messages} messages of 1000 bytes: {:?}, at most {} MiB resident", begun.elapsed(), peak / 1024);
    assert!(peak * 1024 <= 64 * MIB, "{peak} kB");
    world.stop().await
}

fn setting<T: FromStr>(name: &str, default: T) -> anyhow::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    std::env::var(name).map_or(Ok(default), |text| text.parse().with_context(|| name.to_owned()))
}

/// A world without loaders' deliveries, whose compactor gives back what it held 10 s after its death.
async fn start(folder: &Path, messages: &str, grace: &str) -> anyhow::Result<World> {
    let catalog = changed_catalog(folder, "max_messages: 1000000", messages)?;
    let text = std::fs::read_to_string(&catalog)?;
    std::fs::write(
        &catalog,
        text.replace("grace: 24h", grace).replace("max_bytes: 1073741824", "max_bytes: 9000000000"),
    )?;
    let compactor_env = vec![("PIPAS_COMPACTOR_ACK_DEADLINE_S", "10".to_owned())];
    let world = World::start(Setup { catalog: Some(catalog), compactor_env, ..Setup::default() }).await?;
    client(&world).await?.admin().delete_subscription("events-loader").await?;
    Ok(world)
}

async fn client(world: &World) -> anyhow::Result<pubsub::Client> {
    let (project, endpoint) = (world.endpoints.project.clone(), Some(world.endpoints.pubsub.clone()));
    Ok(pubsub::Client::connect(&pubsub::PubSubConfig { project, endpoint }).await?)
}

async fn store(world: &World) -> anyhow::Result<ObjectStore> {
    let (bucket, endpoint) = (world.endpoints.archive_bucket.clone(), Some(world.endpoints.storage.clone()));
    Ok(ObjectStore::connect(&StoreConfig { bucket, endpoint }).await?)
}

/// Publishes messages of about that size; their ids.
async fn publish(world: &World, messages: usize, bytes: usize) -> anyhow::Result<BTreeSet<String>> {
    let publisher = client(world).await?.publisher(STREAM);
    let noise: String = (0..bytes).map(|at| char::from(b'a' + (at * at % 26) as u8)).collect();
    let mut ids = BTreeSet::new();
    for first in (0..messages).step_by(5000) {
        let message = |at: usize| {
            let data =
                json!({ "event_id": format!("event-{at}"), "data": { "text": &noise[at % 50..bytes - 50 + at % 50] } });
            pubsub::Outgoing { data: data.to_string().into(), ..pubsub::Outgoing::default() }
        };
        for id in publisher.publish((first..messages.min(first + 5000)).map(message).collect()).await {
            ids.insert(id?);
        }
    }
    assert_eq!(ids.len(), messages);
    Ok(ids)
}

async fn compact(compactor: &str, query: &str) -> anyhow::Result<Value> {
    let response = reqwest::Client::new().post(format!("{compactor}/compact{query}")).send().await?;
    let (status, report): (_, Value) = (response.status(), response.json().await?);
    anyhow::ensure!(status == 200, "{status}: {report}");
    Ok(report)
}

async fn drain(world: &World, store: &ObjectStore, published: &BTreeSet<String>) -> anyhow::Result<()> {
    eventually(PATIENCE, async || {
        compact(&world.endpoints.compactor, "?stream=events").await?;
        complete(store, published).await.map(drop)
    })
    .await
}

async fn finish(mut upload: objects::Upload, bytes: &[u8]) -> anyhow::Result<objects::StoredObject> {
    upload.write(bytes).await?;
    Ok(upload.finish().await?)
}

async fn count(store: &ObjectStore, ending: &str) -> anyhow::Result<usize> {
    let objects = store.list_all("").await?;
    Ok(objects.iter().filter(|object| object.name.ends_with(ending)).count())
}

/// The archive, which must hold exactly what was published, by message id.
async fn complete(store: &ObjectStore, published: &BTreeSet<String>) -> anyhow::Result<BTreeMap<String, usize>> {
    let archived = archived(store).await?;
    let missing = published.iter().filter(|id| !archived.contains_key(*id)).count();
    let unknown = archived.keys().filter(|id| !published.contains(*id)).count();
    anyhow::ensure!((missing, unknown) == (0, 0), "{missing} of {} are missing, {unknown} unknown", published.len());
    Ok(archived)
}

/// How often each message id is in the live objects; what the manifest says of each object is verified.
async fn archived(store: &ObjectStore) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut found = BTreeMap::new();
    for entry in live(entries(store, STREAM, None, None).await?) {
        let object = store.read(&entry.object).await.with_context(|| entry.object.clone())?;
        let checksum = format!("{:08x}", crc32c::crc32c(&object));
        assert_eq!((checksum, object.len() as u64), (entry.crc32c.clone(), entry.bytes), "{}", entry.object);
        let messages = Records::new(&*object)?.collect::<Result<Vec<_>, _>>()?;
        let ids = || messages.iter().map(|message| message.message_id.clone());
        let times = || messages.iter().map(|message| message.publish_time);
        assert_eq!(messages.len() as u64, entry.records);
        assert_eq!((ids().min(), ids().max()), (entry.min_message_id, entry.max_message_id));
        assert_eq!((times().min(), times().max()), (Some(entry.first_publish_time), Some(entry.last_publish_time)));
        ids().for_each(|id| *found.entry(id).or_default() += 1);
    }
    Ok(found)
}
