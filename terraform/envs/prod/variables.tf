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

variable "prefix" {
  description = "What the names of everything begin with, but those of streams and datasets, which are the catalog's."
  type        = string
  default     = "pipas"
  nullable    = false
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

variable "collector_image" {
  description = "The collector beside each function, by its digest, as Cloud Build copies it into the registry; null: Google's, by its tag."
  type        = string
  default     = null
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

variable "subscriptions" {
  description = "Times and bounds of the streams' subscriptions."
  type = object({
    ack_deadline_seconds = optional(number, 60)
    retention            = optional(string, "604800s")
    archive_retention    = optional(string, "604800s")
    topic_retention      = optional(string)
    minimum_backoff      = optional(string, "1s")
    maximum_backoff      = optional(string, "600s")
  })
  default  = {}
  nullable = false
}

variable "network" {
  description = "Addresses of the functions' instances, and of Google's services."
  type = object({
    functions_range = optional(string, "10.8.0.0/22")
    services_range  = optional(string, "10.16.0.0/20")
  })
  default  = {}
  nullable = false
}

variable "schedules" {
  description = "When what runs by the clock runs, as cron says it, in UTC; and whether none of it does. Feeds are somebody else's servers: they are deployed paused, until `feeds_paused = false`. The janitor's queries read a column of every table whole: its price grows with the tables, so it runs once a day."
  type = object({
    compact      = optional(string, "*/5 * * * *")
    merge        = optional(string, "17 * * * *")
    janitor      = optional(string, "40 1 * * *")
    paused       = optional(bool, false)
    feeds_paused = optional(bool, true)
  })
  default  = {}
  nullable = false
}

variable "telemetry" {
  description = "Whether functions hand traces and metrics to a collector beside them, and what share of requests is traced."
  type = object({
    is_on           = optional(bool, true)
    trace_share     = optional(number, 0.01)
    collector_image = optional(string)
  })
  default  = {}
  nullable = false
}

variable "audit_image" {
  description = "The image of `pipas` by its digest, for the daily audit of each stream; null: nothing is audited."
  type        = string
  default     = null
}

variable "audit" {
  description = "When the audits run and of what, and how large a run is, where that is not as the module has it."
  type = object({
    schedule        = optional(string)
    from            = optional(string)
    to              = optional(string)
    cpu             = optional(string)
    memory          = optional(string)
    timeout_seconds = optional(number)
  })
  default  = {}
  nullable = false
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

variable "thresholds" {
  description = "When somebody is told; see the module `observability`."
  type = object({
    unacked_seconds     = optional(number, 300)
    undelivered         = optional(number, 1000000)
    unarchived_seconds  = optional(number, 7200)
    refused_share       = optional(number, 0.2)
    dead_letters        = optional(number, 0)
    append_errors_share = optional(number, 0.05)
    ledger_memory_share = optional(number, 0.8)
    ledger_connections  = optional(number, 50000)
    edge_errors_share   = optional(number, 0.01)
    quota_share         = optional(number, 0.7)
  })
  default  = {}
  nullable = false
}

variable "objectives" {
  description = "What is promised over 28 days; see the module `observability`."
  type = object({
    availability      = optional(number, 0.999)
    latency           = optional(number, 0.99)
    latency_ms        = optional(number, 500)
    freshness         = optional(number, 0.99)
    freshness_seconds = optional(number, 1)
    backlog_seconds   = optional(number, 60)
  })
  default  = {}
  nullable = false
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
  description = "A perimeter of VPC Service Controls around the project, and who calls Google's APIs in it from outside: readers of tables and subscriptions, and operators who deploy; null: none."
  type = object({
    access_policy = string
    is_enforced   = optional(bool, false)
    readers       = optional(map(string), {})
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
    topic           = optional(string)
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
  description = "Whether the project gets a Binary Authorization policy that lets only images of the registries of `images` run: the project's one policy, which binds whatever else runs there."
  type        = bool
  default     = false
  nullable    = false
}
