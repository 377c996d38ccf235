variable "project" {
  description = "The project's id."
  type        = string
}

variable "name" {
  description = "The network's name, and what the names of its parts begin with."
  type        = string
}

variable "region" {
  description = "The subnet's region."
  type        = string
}

variable "functions_range" {
  description = "The addresses of the functions' instances: twice as many as there will be instances at most."
  type        = string
  default     = "10.8.0.0/22"
  nullable    = false

  validation {
    condition     = can(cidrhost(var.functions_range, 0)) && tonumber(split("/", var.functions_range)[1]) <= 26
    error_message = "Expected a range of at least /26."
  }
}

variable "services_range" {
  description = "The addresses that Google's services take: Memorystore wants a /29 for each instance."
  type        = string
  default     = "10.16.0.0/20"
  nullable    = false

  validation {
    condition     = can(cidrhost(var.services_range, 0)) && tonumber(split("/", var.services_range)[1]) <= 24
    error_message = "Expected a range of at least /24."
  }
}

variable "is_closed" {
  description = "Whether functions send everything through the network, as they must inside a perimeter of VPC Service Controls."
  type        = bool
  default     = false
  nullable    = false
}

variable "has_feeds" {
  description = "Whether there is a poller, which must reach the servers of feeds."
  type        = bool
  default     = false
  nullable    = false
}

variable "flow_sampling" {
  description = "The share of flows that is logged."
  type        = number
  default     = 0.1
  nullable    = false
}
