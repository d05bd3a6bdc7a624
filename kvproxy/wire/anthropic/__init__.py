"""Anthropic's Messages API: bodies to chat requests, answers to messages and events."""
