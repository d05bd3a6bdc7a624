"""Answers of every dialect: parsing the model's text, headers, and server-sent events."""
