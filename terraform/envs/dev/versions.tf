terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 8.0"
    }

    google-beta = {
      source  = "hashicorp/google-beta"
      version = "~> 8.0"
    }
  }

  # The bucket is given when it is initialised: terraform init -backend-config=bucket=…
  backend "gcs" {
    prefix = "pipas/dev"
  }
}

provider "google" {
  project = var.project
  region  = var.region

  # What modules label is labelled there, alerts and revisions too; this is for whatever they should forget.
  default_labels = { app = "pipas", env = "dev" }
}

provider "google-beta" {
  project = var.project
  region  = var.region

  default_labels = { app = "pipas", env = "dev" }
}
