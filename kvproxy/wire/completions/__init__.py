"""Text completions: bodies to requests, events to answers."""
