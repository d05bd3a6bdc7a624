"""Reading SQLite files page by page, to recover rows from a damaged database."""
