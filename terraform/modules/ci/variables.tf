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
  description = "Where builds run."
  type        = string
}

variable "prefix" {
  description = "What names begin with."
  type        = string
  default     = "pipas"
  nullable    = false
}

variable "environment" {
  description = "The folder of terraform/envs that is deployed."
  type        = string
}

variable "repository" {
  description = "The repository as Cloud Build knows it: projects/P/locations/R/connections/C/repositories/N."
  type        = string

  validation {
    condition     = can(regex("^projects/[^/]+/locations/[^/]+/connections/[^/]+/repositories/[^/]+$", var.repository))
    error_message = "Expected projects/P/locations/R/connections/C/repositories/N."
  }
}

variable "branch" {
  description = "The branch whose pushes are deployed, as a regular expression."
  type        = string
  default     = "^main$"
  nullable    = false
}

variable "registry" {
  description = "What an image's name begins with."
  type        = string
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

variable "state_bucket" {
  description = "The bucket of Terraform's state."
  type        = string
}

variable "plans_bucket" {
  description = "The bucket of the plans that wait to be applied."
  type        = string
}
