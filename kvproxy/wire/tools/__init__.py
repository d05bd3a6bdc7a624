"""Tools that a request offers to the model."""
