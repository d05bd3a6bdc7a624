"""Telemetry: metrics for Prometheus, each request's timings, and the feed of ended requests."""
