"""The store's gateway: meters in, vouched readings on disk, batches out. The cloud is someone else's."""
