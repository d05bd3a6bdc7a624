"""Middleware and the connection below it: request ids, errors, CORS, metering, the feed of requests."""
