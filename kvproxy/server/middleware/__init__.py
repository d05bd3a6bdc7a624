"""Middleware and the connection below it: keys, deadlines, errors, metering, shutdown."""
