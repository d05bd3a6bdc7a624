"""Objects in a store outside of this machine, by URL: pages, and signed manifests. obstore is imported in one module."""
