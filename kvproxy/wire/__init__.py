"""OpenAI JSON to our types and back. Pure: no I/O, no clock."""
