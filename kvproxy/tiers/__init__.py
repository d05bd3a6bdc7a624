"""The tiers that pages are kept in: local files, and objects of a store that a fleet shares."""
