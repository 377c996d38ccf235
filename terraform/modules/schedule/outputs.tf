output "triggers" {
  description = "The triggers' names."
  value       = { for name, job in google_cloud_scheduler_job.this : name => job.name }
}

output "queues" {
  description = "The queues' full names."
  value       = { for name, queue in google_cloud_tasks_queue.this : name => queue.id }
}
