"""What publishing is made of: pages that are kept and dropped, and documents that come back after a restart."""
