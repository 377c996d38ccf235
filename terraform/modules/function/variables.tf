variable "project" {
  description = "The project's id."
  type        = string
}

variable "region" {
  description = "The service's region."
  type        = string
}

variable "name" {
  description = "The service's name."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,48}$", var.name))
    error_message = "Expected 1 to 49 lower-case letters, digits and hyphens, a letter first."
  }
}

variable "description" {
  description = "What the function does."
  type        = string
}

variable "image" {
  description = "The image, by its digest."
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "Expected an image by its digest: …@sha256:<64 hexadecimal digits>."
  }
}

variable "service_account" {
  description = "The e-mail address of the account that the function runs as."
  type        = string
}

variable "audiences" {
  description = "What the tokens of callers may name, beside the service's address."
  type        = list(string)
  nullable    = false
}

variable "env" {
  description = "The environment."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "secret_env" {
  description = "Variables that are secrets: the secret's id and its version."
  type        = map(object({ secret = string, version = string }))
  default     = {}
  nullable    = false
}

variable "secret_files" {
  description = "Files that come from secrets, by a name for each: the folder, the file's name in it, the secret's id and its version."
  type        = map(object({ folder = string, file = string, secret = string, version = string }))
  default     = {}
  nullable    = false
}

variable "cpu" {
  description = "Processors of an instance."
  type        = string
  default     = "1"
  nullable    = false
}

variable "memory" {
  description = "Memory of an instance."
  type        = string
  default     = "512Mi"
  nullable    = false
}

variable "concurrency" {
  description = "Requests that an instance serves at once."
  type        = number
  default     = 80
  nullable    = false

  validation {
    condition     = var.concurrency >= 1 && var.concurrency <= 1000
    error_message = "Cloud Run takes 1 to 1000."
  }
}

variable "instances" {
  description = "The least and the most instances."
  type        = object({ min = number, max = number })
  default     = { min = 0, max = 10 }
  nullable    = false

  validation {
    condition     = var.instances.min >= 0 && var.instances.max >= max(1, var.instances.min)
    error_message = "Expected 0 <= min <= max, and a max of at least 1."
  }
}

variable "always_cpu" {
  description = "Whether an instance has its processor between requests, and is paid for as long as it lives."
  type        = bool
  default     = false
  nullable    = false
}

variable "timeout_seconds" {
  description = "How long a request may take."
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.timeout_seconds >= 1 && var.timeout_seconds <= 3600
    error_message = "Cloud Run takes 1 to 3600 seconds."
  }
}

variable "ingress" {
  description = "Where requests may come from."
  type        = string
  default     = "INGRESS_TRAFFIC_INTERNAL_ONLY"
  nullable    = false

  validation {
    condition = contains(
      ["INGRESS_TRAFFIC_ALL", "INGRESS_TRAFFIC_INTERNAL_ONLY", "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"], var.ingress
    )
    error_message = "Expected INGRESS_TRAFFIC_ALL, INGRESS_TRAFFIC_INTERNAL_ONLY or INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER."
  }
}

variable "invokers" {
  description = "Who may call the function, by a name for each: IAM members."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "network" {
  description = "The network that instances are in; null: none."
  type        = string
  default     = null
}

variable "subnetwork" {
  description = "The subnet that instances take their addresses from; null: none."
  type        = string
  default     = null
}

variable "sends_all" {
  description = "Whether everything that instances send goes through the network, or only what is for private addresses."
  type        = bool
  default     = false
  nullable    = false
}

variable "tags" {
  description = "The network's tags of the instances, by which its firewall knows them."
  type        = list(string)
  default     = ["pipas"]
  nullable    = false
}

variable "collector" {
  description = "The collector beside the function, as the module `telemetry` tells it; null: none."
  type        = object({ image = string, secret = string, version = string })
  default     = null
}

variable "trace_share" {
  description = "The share of requests that are traced where the caller does not say."
  type        = number
  default     = 0.01
  nullable    = false
}

variable "revision" {
  description = "The revision that serves all requests; null: the latest."
  type        = string
  default     = null
}

variable "binary_authorization" {
  description = "Whether only images run that the project's Binary Authorization policy takes."
  type        = bool
  default     = false
  nullable    = false
}

variable "deletion_protection" {
  description = "Whether the service cannot be deleted by Terraform."
  type        = bool
  default     = true
  nullable    = false
}

variable "kms_key" {
  description = "The key that the image is encrypted with; null: Google's."
  type        = string
  default     = null
}

variable "labels" {
  description = "Labels of the service and its revisions."
  type        = map(string)
  default     = {}
  nullable    = false
}
