mock_provider "google" {}

variables {
  project  = "my-project"
  name     = "pipas-archive"
  location = "europe-west1"
  writers  = { compactor = "serviceAccount:compactor@example" }
  readers  = { audit = "serviceAccount:audit@example" }

  replayers = { replayer = "serviceAccount:replayer@example" }
}

run "the_archive_is_closed_and_kept" {
  command = plan

  assert {
    condition     = google_storage_bucket.archive.uniform_bucket_level_access && google_storage_bucket.archive.public_access_prevention == "enforced" && !google_storage_bucket.archive.force_destroy
    error_message = "Nobody sees it who is not named."
  }

  assert {
    condition     = google_storage_bucket.archive.versioning[0].enabled && google_storage_bucket.archive.soft_delete_policy[0].retention_duration_seconds == 604800
    error_message = "What is deleted can be had back."
  }

  assert {
    condition     = length(google_storage_bucket.replica) == 0 && output.replica_bucket == null
    error_message = "There is no copy unless it is asked for."
  }
}

run "a_replay_writes_its_checkpoints_and_no_event" {
  command = plan

  assert {
    condition     = google_storage_bucket_iam_member.checkpoints["replayer"].condition[0].expression == "resource.name.startsWith('projects/_/buckets/pipas-archive/objects/_replay/')"
    error_message = "It writes under _replay/ alone."
  }

  assert {
    condition     = toset([for grant in google_storage_bucket_iam_member.reader : grant.member]) == toset(["serviceAccount:audit@example", "serviceAccount:replayer@example"]) && [for grant in google_storage_bucket_iam_member.writer : grant.member] == ["serviceAccount:compactor@example"]
    error_message = "It reads the rest, and the compactor alone writes it."
  }
}

run "what_is_tried_out_is_easily_deleted" {
  command = plan

  variables {
    deletion_protection = false
  }

  assert {
    condition     = google_storage_bucket.archive.force_destroy
    error_message = "Without protection a bucket goes with what it holds."
  }
}

run "a_copy_elsewhere" {
  command = plan

  variables {
    replica_location = "europe-west4"
  }

  assert {
    condition     = google_storage_bucket.replica[0].location == "europe-west4" && google_storage_transfer_job.replica[0].replication_spec[0].transfer_options[0].delete_objects_unique_in_sink == false
    error_message = "The copy keeps what the archive lost."
  }
}

run "retention_and_versions_exclude_each_other" {
  command = plan

  variables {
    retention_days = 30
  }

  expect_failures = [google_storage_bucket.archive]
}
