"""SQLite files read page by page, to recover rows from a damaged database."""
