"""Charging of requests: held before the work, metered while it runs, settled before the final event is sent."""
