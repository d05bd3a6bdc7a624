"""The forward pass over tiles: the same bits for a row in every tile shape."""
