"""OpenTelemetry traces: a span for each request, its phases and its calls to other servers.

Names are those of the semantic conventions for generative AI and for HTTP, and ``kvproxy.`` in front of our own.
"""
