"""Objects outside of this machine, by URL: pages and signed manifests. One module imports obstore."""
