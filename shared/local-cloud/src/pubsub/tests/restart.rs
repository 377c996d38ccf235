use std::{fs, path::Path};

use super::*;

#[tokio::test]
async fn a_restart_finds_everything_again() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let dead = world.topic("dead").await;
    let name = world
        .subscribe(pb::Subscription { dead_letter_policy: dead_letter_policy(&dead, 7), ..subscription("sub", &topic) })
        .await;
    let other = world.subscribe(subscription("other", &topic)).await;
    let ids = world.publish(&topic, vec![message("acked"), message("failed"), message("held")]).await;
    let received = world.pull(&name).await;
    world.ack(&name, &received[..1]).await;
    world.nack(&name, &received[1..2]).await;

    let mut world = world.restart().await;
    let mut received = world.pull(&name).await;
    received.sort_by_key(|received| received.message.as_ref().map(|message| message.message_id.clone()));
    assert_eq!(data(&received), ["failed", "held"]);
    assert_eq!(received.iter().map(|r| r.delivery_attempt).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(received[0].message.as_ref().expect("a message").message_id, ids[1]);
    assert_eq!(data(&world.pull(&other).await), ["acked", "failed", "held"]);
    let next = world.publish(&topic, vec![message("next")]).await;
    assert!(next[0].parse::<u64>().expect("a number") > ids[2].parse().expect("a number"));
    let request = pb::GetSubscriptionRequest { subscription: name };
    let found = world.subscriber.get_subscription(request).await.expect("is there").into_inner();
    assert_eq!(found.dead_letter_policy, dead_letter_policy(&dead, 7));
}

/// The files as the operating system has them at this moment are what a killed process leaves.
#[tokio::test]
async fn a_killed_process_loses_nothing_that_was_answered() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let name = world.subscribe(subscription("sub", &topic)).await;
    let mut ids = Vec::new();
    for n in 0..50 {
        ids.extend(world.publish(&topic, vec![message(&format!("{n} {}", "x".repeat(n * 100)))]).await);
    }
    let killed = Arc::new(tempfile::tempdir().expect("a folder"));
    copy(world.folder.path(), killed.path());
    let mut found = World::start_in(killed).await;
    let received = found.pull(&name).await;
    let found_ids: Vec<_> = received.iter().filter_map(|r| r.message.as_ref().map(|m| m.message_id.clone())).collect();
    assert_eq!(found_ids, ids);
}

#[tokio::test]
async fn acked_messages_leave_nothing_behind() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let names =
        [world.subscribe(subscription("sub-a", &topic)).await, world.subscribe(subscription("sub-b", &topic)).await];
    world.publish(&topic, (0..100).map(|n| message(&n.to_string())).collect()).await;
    for name in &names {
        let received = world.pull(name).await;
        world.ack(name, &received).await;
    }
    let folder = world.folder.clone();
    world.server.shutdown().await.expect("stops");
    let store = crate::pubsub::store::Store::open(folder.path()).expect("opens");
    store.each_message(|message| panic!("{message:?} is still there")).expect("reads");
    store.each_standing(|_, message, _| panic!("{message} is still there")).expect("reads");
    store.stop().expect("stops");
}

#[tokio::test]
async fn bodies_beyond_the_memory_come_from_the_disk() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let name = world.subscribe(subscription("sub", &topic)).await;
    let large = |n: usize| message(&format!("{n:04}{}", "x".repeat(4 << 20)));
    for n in 0..20 {
        world.publish(&topic, vec![large(n)]).await;
    }
    let mut seen = Vec::new();
    while seen.len() < 20 {
        let received = world.pull_some(&name).await;
        world.ack(&name, &received).await;
        seen.extend(data(&received).into_iter().map(|data| (data[..4].to_owned(), data.len())));
    }
    assert_eq!(seen, (0..20).map(|n| (format!("{n:04}"), 4 + (4 << 20))).collect::<Vec<_>>());
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&target).expect("a folder");
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copies");
        }
    }
}
