"""The forms in which clients of different engines ask for an answer of a certain shape."""
