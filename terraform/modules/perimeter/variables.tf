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

# Not Cloud Run: whoever calls a function is not asked who he is by VPC Service Controls, so every producer would be shut out. IAM
# says who may call one, and who may deploy.
variable "services" {
  description = "The services that answer to the inside alone."
  type        = list(string)
  default = [
    "artifactregistry.googleapis.com",
    "bigquery.googleapis.com",
    "bigquerystorage.googleapis.com",
    "pubsub.googleapis.com",
    "redis.googleapis.com",
    "secretmanager.googleapis.com",
    "storage.googleapis.com",
  ]
  nullable = false
}

variable "readers" {
  description = "Who reads tables, pulls subscriptions or publishes from outside, by a name for each: `serviceAccount:…`, `user:…`. Producers are not meant: they call the receiver alone."
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
