"""The history that a conversation has behind it: it cannot be undone, so nothing in it may end the conversation."""
