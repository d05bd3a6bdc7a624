"""Answers of every dialect: parsing the model's text, response headers, and server-sent events."""
