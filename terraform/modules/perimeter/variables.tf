variable "access_policy" {
  description = "The number of the organisation's access policy."
  type        = string
}

variable "name" {
  description = "The perimeter's name."
  type        = string
}

variable "project_number" {
  description = "The project's number."
  type        = string
}

variable "is_enforced" {
  description = "Whether what is outside is refused, or only logged as what would be refused."
  type        = bool
  default     = false
  nullable    = false
}

variable "services" {
  description = "The services that answer to the inside alone."
  type        = list(string)
  default = [
    "artifactregistry.googleapis.com",
    "bigquery.googleapis.com",
    "bigquerystorage.googleapis.com",
    "pubsub.googleapis.com",
    "redis.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    "storage.googleapis.com",
  ]
  nullable = false
}

variable "producers" {
  description = "Who may call in from outside, by a name for each: `serviceAccount:…`, `user:…`."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "operators" {
  description = "Who deploys from outside, by a name for each: `serviceAccount:…`, `user:…`."
  type        = map(string)
  default     = {}
  nullable    = false
}
