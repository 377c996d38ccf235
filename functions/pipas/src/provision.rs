//! Makes what a catalog declares: topics, subscriptions, datasets, tables, views, buckets. What exists is left alone.

use std::{collections::BTreeSet, time::Duration};

use anyhow::Context;
use catalog::Catalog;
use objects::{ObjectStore, StoreConfig};
use pubsub::{DeadLetterPolicy, RetryBackoff, SubscriptionSpec, TopicSpec};
use serde_json::json;
use storage_write::Tables;

use crate::instance::Endpoints;

/// How long the loader may take to answer a delivery.
const ACK_DEADLINE: Duration = Duration::from_secs(60);
const RETRY: RetryBackoff = RetryBackoff { minimum: Duration::from_millis(100), maximum: Duration::from_secs(10) };

/// Makes everything at `endpoints` that `catalog` declares and that is not there.
pub async fn provision(catalog: &Catalog, endpoints: &Endpoints) -> anyhow::Result<()> {
    buckets(endpoints).await?;
    warehouse(catalog, endpoints).await?;
    queue(endpoints).await.context("the queue of the feeds' tasks")?;
    topics(catalog, endpoints).await
}

async fn topics(catalog: &Catalog, endpoints: &Endpoints) -> anyhow::Result<()> {
    let config = pubsub::PubSubConfig { project: endpoints.project.clone(), endpoint: Some(endpoints.pubsub.clone()) };
    let admin = pubsub::Client::connect(&config).await?.admin();
    for stream in catalog.streams.values() {
        let topic = stream.topic();
        admin.ensure_topic(&TopicSpec { id: topic.to_owned(), retention: None }).await?;
        let push = format!("{}/push/{}", endpoints.loader, stream.name);
        let ordered = stream.ordering_key.is_some();
        let dead_letters = stream.dead_letter_topic();
        admin.ensure_topic(&TopicSpec { id: dead_letters.clone(), retention: None }).await?;
        // What is given up must not wait in vain: without a policy of its own it is delivered until it is taken.
        let exhausted = format!("{}/push/{}", endpoints.deadletter, stream.name);
        let exhausted = SubscriptionSpec {
            ack_deadline: ACK_DEADLINE,
            retry: Some(RETRY),
            ..SubscriptionSpec::push(stream.dead_letter_subscription(), &dead_letters, exhausted)
        };
        admin.ensure_subscription(&exhausted).await?;
        let policy = DeadLetterPolicy { topic: dead_letters, max_delivery_attempts: stream.max_delivery_attempts };
        let loader = SubscriptionSpec {
            ack_deadline: ACK_DEADLINE,
            retry: Some(RETRY),
            dead_letter: Some(policy),
            ordered,
            ..SubscriptionSpec::push(stream.loader_subscription(), topic, push)
        };
        admin.ensure_subscription(&loader).await?;
        admin.ensure_subscription(&SubscriptionSpec::pull(stream.archive_subscription(), topic)).await?;
        for further in &stream.subscriptions {
            let further = SubscriptionSpec {
                ack_deadline: further.ack_deadline,
                retention: further.retention,
                filter: further.filter.clone(),
                ordered,
                ..SubscriptionSpec::pull(&further.id, topic)
            };
            admin.ensure_subscription(&further).await?;
        }
    }
    Ok(())
}

async fn warehouse(catalog: &Catalog, endpoints: &Endpoints) -> anyhow::Result<()> {
    let tables = Tables::connect(&endpoints.project, Some(&endpoints.bigquery)).await?;
    let dead_letters = catalog::dead_letters_table();
    let own = [&dead_letters, &catalog::redrives_table()];
    let declared: Vec<_> = catalog.streams.values().flat_map(|stream| &stream.tables).collect();
    let datasets: BTreeSet<&str> = declared
        .iter()
        .map(|table| &table.name)
        .chain(catalog.views.keys())
        .chain([&dead_letters.name])
        .map(|name| name.dataset.as_str())
        .collect();
    for dataset in datasets {
        tables.create_dataset(dataset).await.with_context(|| format!("dataset {dataset}"))?;
    }
    for table in &declared {
        tables.create_table(table).await.with_context(|| format!("table {}", table.name))?;
    }
    for table in own {
        tables.create_own_table(table).await.with_context(|| format!("table {}", table.name))?;
    }
    let unique = declared.iter().filter_map(|table| table.unique_view());
    let made: Vec<_> = unique.chain([catalog::open_dead_letters_view()]).collect();
    for view in made.iter().chain(catalog.views.values()) {
        tables.create_view(view).await.with_context(|| format!("view {}", view.name))?;
    }
    Ok(())
}

/// Makes the queue of the feeds' tasks.
async fn queue(endpoints: &Endpoints) -> anyhow::Result<()> {
    let name = endpoints.queue();
    let parent = name.rsplit_once("/queues/").map_or("", |(parent, _)| parent);
    let url = format!("{}/v2/{parent}/queues", endpoints.tasks);
    let queue = json!({ "name": name, "retryConfig": { "maxAttempts": 3, "minBackoff": "1s", "maxBackoff": "5s" } });
    let answer = reqwest::Client::new().post(url).json(&queue).send().await?;
    if answer.status() != reqwest::StatusCode::CONFLICT {
        answer.error_for_status()?;
    }
    Ok(())
}

async fn buckets(endpoints: &Endpoints) -> anyhow::Result<()> {
    for bucket in [&endpoints.archive_bucket, &endpoints.registry_bucket] {
        let config = StoreConfig { bucket: bucket.clone(), endpoint: Some(endpoints.storage.clone()) };
        let store = ObjectStore::connect(&config).await?;
        store.ensure_bucket(&endpoints.project).await.with_context(|| format!("bucket {bucket}"))?;
    }
    Ok(())
}
