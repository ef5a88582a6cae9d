"""Who works here: logins, roles and sessions."""
