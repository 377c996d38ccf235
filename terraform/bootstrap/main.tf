# What is there before Pipas is: the buckets of Terraform's state and plans, the images' registry, and Cloud Build. Applied once by
# hand; see docs/deploy.md. Its own state begins in a file and moves into the bucket that it makes.

resource "google_project_service" "this" {
  for_each = toset(concat(
    [
      "artifactregistry.googleapis.com",
      "cloudbuild.googleapis.com",
      "cloudresourcemanager.googleapis.com",
      "containeranalysis.googleapis.com",
      "containerscanning.googleapis.com",
      "iam.googleapis.com",
      "iamcredentials.googleapis.com",
      "serviceusage.googleapis.com",
      "storage.googleapis.com",
    ],
    # Calls are counted in the project of the account that makes them.
    var.manages.billing_account == null ? [] : ["billingbudgets.googleapis.com"],
    var.manages.access_policy == null ? [] : ["accesscontextmanager.googleapis.com"],
    var.manages.keys_project == null ? [] : ["cloudkms.googleapis.com"],
  ))

  project            = var.project
  service            = each.value
  disable_on_destroy = false
}

resource "google_storage_bucket" "state" {
  project                     = var.project
  name                        = "${var.project}-${var.prefix}-tfstate"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false
  labels                      = { app = "pipas" }

  versioning {
    enabled = true
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }

    condition {
      num_newer_versions = 50
      with_state         = "ARCHIVED"
    }
  }

  depends_on = [google_project_service.this]
}

# A plan holds what the state holds, so it is kept as closely, and not for long.
resource "google_storage_bucket" "plans" {
  project                     = var.project
  name                        = "${var.project}-${var.prefix}-plans"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false
  labels                      = { app = "pipas" }

  versioning {
    enabled = true
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }

    condition {
      age = 30
    }
  }

  depends_on = [google_project_service.this]
}

module "registry" {
  source = "../modules/registry"

  project  = var.project
  location = var.region
  name     = var.prefix
  readers  = var.readers

  # The one pushes what it has built, the other tags what it has deployed.
  writers = var.repository == null ? {} : { ci = module.ci[0].plan_account.member, apply = module.ci[0].apply_account.member }
  labels  = { app = "pipas" }

  depends_on = [google_project_service.this]
}

module "ci" {
  count  = var.repository == null ? 0 : 1
  source = "../modules/ci"

  project        = var.project
  target_project = var.target_project
  region         = var.region
  prefix         = var.prefix
  environment    = var.environment
  repository     = var.repository
  branch         = var.branch
  registry       = "${var.region}-docker.pkg.dev/${var.project}/${var.prefix}"
  state_bucket   = google_storage_bucket.state.name
  plans_bucket   = google_storage_bucket.plans.name
  manages        = var.manages

  depends_on = [google_project_service.this]
}
