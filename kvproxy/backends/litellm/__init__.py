"""Upstreams behind litellm: requests and answers translated, bounded, on an event loop of their own."""
