"""The engine thread: admission, scheduling, running tiles, and emitting answers."""
