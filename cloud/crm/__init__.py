"""The CRM: a folder per feature, each `tables`, `service`, `api`, `pages`; features call services, not tables."""
