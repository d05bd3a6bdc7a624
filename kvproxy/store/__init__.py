"""Files on disk: pages of published documents, spilled pages and stored responses; each checksummed and verified."""
