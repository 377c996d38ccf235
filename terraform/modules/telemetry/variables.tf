variable "project" {
  description = "The project's id."
  type        = string
}

variable "region" {
  description = "Where the configuration is kept."
  type        = string
}

variable "prefix" {
  description = "What names begin with."
  type        = string
}

variable "functions" {
  description = "Who writes traces and metrics, by a name for each: IAM members."
  type        = map(string)
  nullable    = false
}

variable "image" {
  description = "The collector: one with Google's exporters, best by its digest."
  type        = string
  default     = "us-docker.pkg.dev/cloud-ops-agents-artifacts/google-cloud-opentelemetry-collector/otelcol-google:0.143.0"
  nullable    = false
}

variable "kms_key" {
  description = "The key that the configuration is encrypted with; null: Google's."
  type        = string
  default     = null
}

variable "labels" {
  description = "Labels of the secret."
  type        = map(string)
  default     = {}
  nullable    = false
}
