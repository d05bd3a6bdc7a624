"""How model families write tool calls: one module for each, chosen through ``wire/tool_formats/known_formats.py``."""
