"""Prompts: from messages, tools and documents to exact tokens."""
