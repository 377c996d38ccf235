mock_provider "google" {}

variables {
  project  = "my-project"
  location = "europe-west1"
  readers  = { other = "serviceAccount:run@example" }
  writers  = { ci = "serviceAccount:ci@example" }
}

run "what_may_be_rolled_back_to_stays" {
  command = plan

  assert {
    condition     = [for policy in google_artifact_registry_repository.images.cleanup_policies : tolist(policy.condition[0].tag_prefixes) if policy.id == "keep-what-was-deployed" && policy.action == "KEEP"] == [tolist(["deployed-"])]
    error_message = "What was deployed is kept."
  }

  assert {
    condition     = [for policy in google_artifact_registry_repository.images.cleanup_policies : policy.most_recent_versions[0].keep_count if policy.id == "keep-what-may-be-rolled-back-to"] == [100]
    error_message = "So is what was built lately: three versions a push."
  }
}

run "who_pushes_and_who_pulls" {
  command = plan

  assert {
    condition     = [for grant in google_artifact_registry_repository_iam_member.writer : "${grant.role} ${grant.member}"] == ["roles/artifactregistry.writer serviceAccount:ci@example"] && [for grant in google_artifact_registry_repository_iam_member.reader : "${grant.role} ${grant.member}"] == ["roles/artifactregistry.reader serviceAccount:run@example"]
    error_message = "Those who are named."
  }

  assert {
    condition     = output.url == "europe-west1-docker.pkg.dev/my-project/pipas"
    error_message = "The images' names begin with it."
  }
}
