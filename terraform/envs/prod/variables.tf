variable "project" {
  description = "The project's id."
  type        = string
}

variable "region" {
  description = "Where the functions and the ledger are."
  type        = string
}

variable "location" {
  description = "Where the data is: the region (null), or `EU` or `US`, which have ten times a region's connections and throughput."
  type        = string
  default     = null
}

variable "images" {
  description = "The functions' images by function, each by its digest: receiver, loader, compactor, deadletter, replayer, and poller where there are feeds."
  type        = map(string)
  nullable    = false
}

variable "functions" {
  description = "How large functions are, where they are not as this module has them."
  type = map(object({
    cpu             = optional(string)
    memory          = optional(string)
    concurrency     = optional(number)
    timeout_seconds = optional(number)
    always_cpu      = optional(bool)
    min             = optional(number)
    max             = optional(number)
    revision        = optional(string)
    env             = optional(map(string))
  }))
  default  = {}
  nullable = false
}

variable "producers" {
  description = "Who may send events, by a name for each: IAM members, e.g. the service account of a producer."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "is_public" {
  description = "Whether anyone may send events: for browsers and for producers without an account of Google's. Give it an edge."
  type        = bool
  default     = false
  nullable    = false
}

variable "operators" {
  description = "Who may start replays, read the tables and publish dead letters again, by a name for each: IAM members."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "readers" {
  description = "Who may read the tables, by a name for each: IAM members, e.g. a group of analysts."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "mask_key" {
  description = "The secret that holds the key of hashed columns, and its version: needed where the catalog masks by hash."
  type        = object({ secret = string, version = string })
  default     = null
}

variable "subscribers" {
  description = "Who pulls the subscriptions that the catalog's streams declare: by the stream and the subscription's name there, IAM members by a name for each."
  type        = map(map(map(string)))
  default     = {}
  nullable    = false
}

variable "feed_secrets" {
  description = "The environment variables that the catalog's feeds name: each a secret's id and its version."
  type        = map(object({ secret = string, version = string }))
  default     = {}
  nullable    = false
}

variable "ledger" {
  description = "How large the claim ledger is: `pipas check` reckons it. Without a replica a failure costs a recovery, and with it a failover."
  type = object({
    memory_gb     = number
    has_replica   = optional(bool, true)
    redis_version = optional(string, "REDIS_7_2")
    tls           = optional(bool, true)
    maintenance   = optional(object({ day = string, hour = number }), { day = "SUNDAY", hour = 3 })
  })
}

variable "archive" {
  description = "How the archive is kept."
  type = object({
    colder            = optional(map(number), { NEARLINE = 30, COLDLINE = 90, ARCHIVE = 365 })
    delete_after_days = optional(number)
    versioning        = optional(bool, true)
    soft_delete_days  = optional(number, 7)
    retention_days    = optional(number)
    retention_locked  = optional(bool, false)
    replica_location  = optional(string)
    replica_kms_key   = optional(string)
    tables            = optional(bool, true)
  })
  default  = {}
  nullable = false
}

variable "audit_image" {
  description = "The image of `pipas` by its digest, for the daily audit of each stream; null: nothing is audited."
  type        = string
  default     = null
}

variable "emails" {
  description = "Who is told when something is wrong, by e-mail."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "channels" {
  description = "Notification channels that are there already."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "uptime_check" {
  description = "Whether the receiver is looked at from outside, every five minutes."
  type        = bool
  default     = false
  nullable    = false
}

variable "edge" {
  description = "A name of your own before the receiver, with a load balancer and Cloud Armor; null: Cloud Run's address."
  type = object({
    domain              = string
    requests_per_minute = optional(number, 60000)
    blocked_ranges      = optional(list(string), [])
  })
  default = null
}

variable "perimeter" {
  description = "A perimeter of VPC Service Controls around the project; null: none."
  type = object({
    access_policy = string
    is_enforced   = optional(bool, false)
    producers     = optional(map(string), {})
    operators     = optional(map(string), {})
  })
  default = null
}

variable "cmek" {
  description = "A key of your own for everything that keeps data; null: Google's keys. Everything is then in the region."
  type = object({
    project          = optional(string)
    rotation_days    = optional(number, 90)
    protection_level = optional(string, "SOFTWARE")
  })
  default = null
}

variable "budget" {
  description = "What a month may cost, in whole units of the currency; null: nobody is told."
  type = object({
    billing_account = string
    amount          = number
    currency        = optional(string)
  })
  default = null
}

variable "storage_billing_model" {
  description = "`LOGICAL` or `PHYSICAL`: whether BigQuery's storage is paid by uncompressed or by compressed bytes."
  type        = string
  default     = "LOGICAL"
  nullable    = false
}

variable "binary_authorization" {
  description = "Whether only images run that the project's Binary Authorization policy takes."
  type        = bool
  default     = false
  nullable    = false
}
