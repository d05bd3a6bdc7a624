"""Services of this process: worker threads, garbage collection, and work that outlives a cancellation."""
