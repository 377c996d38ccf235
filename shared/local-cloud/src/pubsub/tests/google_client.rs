//! Google's own client for Rust, unmodified.

use google_cloud_auth::credentials::anonymous::Builder as Anonymous;
use google_cloud_pubsub::{
    client::{Publisher, Subscriber},
    model::Message,
    subscriber::handler::Handler,
};

use super::*;

#[tokio::test]
async fn googles_client_publishes_and_pulls_in_order() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let name = world.subscribe(pb::Subscription { enable_message_ordering: true, ..subscription("sub", &topic) }).await;
    let publisher = Publisher::builder(topic)
        .with_endpoint(world.base.clone())
        .with_credentials(Anonymous::new().build())
        .build()
        .await
        .expect("a publisher");
    let pending: Vec<_> = (0..300)
        .map(|n| {
            let key = format!("k{}", n % 7);
            publisher.publish(Message::new().set_data(format!("{n}")).set_ordering_key(key))
        })
        .collect();
    for publish in pending {
        publish.await.expect("publishes");
    }
    let subscriber = Subscriber::builder()
        .with_endpoint(world.base.clone())
        .with_credentials(Anonymous::new().build())
        .build()
        .await
        .expect("a subscriber");
    let mut stream = subscriber.subscribe(name.clone()).set_max_outstanding_messages(50).build();
    let mut last = [None; 7];
    for _ in 0..300 {
        let next = tokio::time::timeout(Duration::from_secs(20), stream.next());
        let (message, handler) = next.await.expect("in time").expect("is open").expect("no error");
        let number: usize = String::from_utf8_lossy(&message.data).parse().expect("a number");
        assert!(last[number % 7] < Some(number), "{number} after {:?}", last[number % 7]);
        last[number % 7] = Some(number);
        handler.ack();
    }
    world.drained(&name).await;
}

#[tokio::test]
async fn googles_client_confirms_exactly_once_acks() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let name =
        world.subscribe(pb::Subscription { enable_exactly_once_delivery: true, ..subscription("sub", &topic) }).await;
    world.publish(&topic, vec![message("one"), message("two")]).await;
    let subscriber = Subscriber::builder()
        .with_endpoint(world.base.clone())
        .with_credentials(Anonymous::new().build())
        .build()
        .await
        .expect("a subscriber");
    let mut stream = subscriber.subscribe(name.clone()).build();
    for _ in 0..2 {
        let next = tokio::time::timeout(Duration::from_secs(20), stream.next());
        let (_, handler) = next.await.expect("in time").expect("is open").expect("no error");
        let Handler::ExactlyOnce(handler) = handler else { panic!("the handler confirms nothing") };
        handler.confirmed_ack().await.expect("is confirmed");
    }
    assert_eq!(world.stats(&name).backlog, 0);
}
