"""The library: documents, versions, their registry on disk, and lookup by prefix."""
