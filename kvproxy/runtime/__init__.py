"""Services of this process: worker threads and garbage collection."""
