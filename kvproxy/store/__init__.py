"""Pages of published documents on disk: one self-describing, checksummed file per page."""
