"""Published documents in the database: versions, texts, pages, aliases, manifests, each row under a digest."""
