"""``kvproxy mcp``: a Model Context Protocol server in front of a running proxy. Only this package imports ``mcp``."""
