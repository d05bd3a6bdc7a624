"""kvproxy: an OpenAI-compatible proxy that makes a document cost its prefill once."""

__version__ = "0.1.0"
