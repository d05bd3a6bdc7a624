"""Formats in which model families write tool calls: one module for each, registered in ``known_formats``."""
