"""Reading a request: its bytes, its model, its start time."""
