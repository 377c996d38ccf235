//! `google.pubsub.v1.Publisher`.

use std::sync::Arc;

use googleapis::google::pubsub::v1::{self as pb, publisher_server::Publisher};
use tonic::{Request, Response, Status};

use super::{engine::Engine, names, page::Page};

/// The service over an [`Engine`].
#[derive(Clone)]
pub(super) struct PublisherService(pub(super) Arc<Engine>);

#[tonic::async_trait]
impl Publisher for PublisherService {
    async fn create_topic(&self, request: Request<pb::Topic>) -> Result<Response<pb::Topic>, Status> {
        let topic = self.0.create_topic(request.into_inner()).await?;
        Ok(Response::new(pb::Topic::clone(&topic.proto())))
    }

    async fn update_topic(&self, request: Request<pb::UpdateTopicRequest>) -> Result<Response<pb::Topic>, Status> {
        let pb::UpdateTopicRequest { topic, update_mask } = request.into_inner();
        let topic = topic.ok_or_else(|| Status::invalid_argument("The topic must be set."))?;
        let topic = self.0.update_topic(topic, &update_mask.unwrap_or_default().paths).await?;
        Ok(Response::new(pb::Topic::clone(&topic.proto())))
    }

    async fn publish(&self, request: Request<pb::PublishRequest>) -> Result<Response<pb::PublishResponse>, Status> {
        let pb::PublishRequest { topic, messages } = request.into_inner();
        let numbers = self.0.publish(&topic, messages).await?;
        let message_ids = numbers.iter().map(u64::to_string).collect();
        Ok(Response::new(pb::PublishResponse { message_ids }))
    }

    async fn get_topic(&self, request: Request<pb::GetTopicRequest>) -> Result<Response<pb::Topic>, Status> {
        let topic = self.0.topic(&request.into_inner().topic)?;
        Ok(Response::new(pb::Topic::clone(&topic.proto())))
    }

    async fn list_topics(
        &self,
        request: Request<pb::ListTopicsRequest>,
    ) -> Result<Response<pb::ListTopicsResponse>, Status> {
        let pb::ListTopicsRequest { project, page_size, page_token } = request.into_inner();
        names::check_project(&project)?;
        let page = Page::new(page_size, &page_token)?;
        let found = self.0.topics(&project, page.after(), page.most());
        let topics = found.iter().map(|topic| pb::Topic::clone(&topic.proto())).collect();
        let (topics, next_page_token) = page.cut(topics, |topic: &pb::Topic| &topic.name);
        Ok(Response::new(pb::ListTopicsResponse { topics, next_page_token }))
    }

    async fn list_topic_subscriptions(
        &self,
        request: Request<pb::ListTopicSubscriptionsRequest>,
    ) -> Result<Response<pb::ListTopicSubscriptionsResponse>, Status> {
        let pb::ListTopicSubscriptionsRequest { topic, page_size, page_token } = request.into_inner();
        let topic = self.0.topic(&topic)?;
        let page = Page::new(page_size, &page_token)?;
        let mut names: Vec<String> =
            topic.subscriptions.lock().iter().map(|subscription| subscription.config().proto.name.clone()).collect();
        names.sort_unstable();
        names.retain(|name| name.as_str() > page.after());
        names.truncate(page.most());
        let (subscriptions, next_page_token) = page.cut(names, |name: &String| name);
        Ok(Response::new(pb::ListTopicSubscriptionsResponse { subscriptions, next_page_token }))
    }

    async fn list_topic_snapshots(
        &self,
        _: Request<pb::ListTopicSnapshotsRequest>,
    ) -> Result<Response<pb::ListTopicSnapshotsResponse>, Status> {
        Err(no_snapshots())
    }

    async fn delete_topic(&self, request: Request<pb::DeleteTopicRequest>) -> Result<Response<()>, Status> {
        self.0.delete_topic(&request.into_inner().topic).await?;
        Ok(Response::new(()))
    }

    async fn detach_subscription(
        &self,
        request: Request<pb::DetachSubscriptionRequest>,
    ) -> Result<Response<pb::DetachSubscriptionResponse>, Status> {
        self.0.detach_subscription(&request.into_inner().subscription).await?;
        Ok(Response::new(pb::DetachSubscriptionResponse {}))
    }
}

pub(super) fn no_snapshots() -> Status {
    Status::unimplemented("The local Pub/Sub has no snapshots; seek to a time instead.")
}
