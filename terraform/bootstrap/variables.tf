variable "project" {
  description = "The project that builds."
  type        = string
}

variable "target_project" {
  description = "The project that is deployed to; null: the one that builds."
  type        = string
  default     = null
}

variable "region" {
  description = "Where the buckets, the registry and the builds are."
  type        = string
}

variable "prefix" {
  description = "What names begin with."
  type        = string
  default     = "pipas"
  nullable    = false
}

variable "environment" {
  description = "The folder of terraform/envs that Cloud Build deploys."
  type        = string
  default     = "prod"
  nullable    = false
}

variable "repository" {
  description = "The repository as Cloud Build knows it: projects/P/locations/R/connections/C/repositories/N; null: no triggers."
  type        = string
  default     = null
}

variable "branch" {
  description = "The branch whose pushes are deployed, as a regular expression."
  type        = string
  default     = "^main$"
  nullable    = false
}

variable "manages" {
  description = "What the environment uses beyond its project, so that Cloud Build may plan and apply it: the billing account of `budget`, the number of the access policy of `perimeter`, the project of the keys of `cmek`."
  type = object({
    billing_account = optional(string)
    access_policy   = optional(string)
    keys_project    = optional(string)
  })
  default  = {}
  nullable = false
}

variable "readers" {
  description = "Who pulls images from another project, by a name for each: its Cloud Run service agent, as an IAM member."
  type        = map(string)
  default     = {}
  nullable    = false
}
