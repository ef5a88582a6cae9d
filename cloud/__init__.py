"""The cloud: one ledger of readings, the readers that run over it, and the CRM people work in."""
