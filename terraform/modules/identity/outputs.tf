output "email" {
  description = "The account that each function runs as."
  value       = { for name, account in google_service_account.function : name => account.email }
}

output "member" {
  description = "The same, as IAM members."
  value       = { for name, account in google_service_account.function : name => account.member }
}

output "caller" {
  description = "The account that calls each function: its e-mail address, its IAM member, and its resource name."
  value = {
    for name, account in google_service_account.caller : name => {
      email  = account.email
      member = account.member
      id     = account.name
    }
  }
}
