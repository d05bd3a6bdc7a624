"""The KV cache: pages, their prefix index, eviction, and moving pages to disk and back. One lock."""
