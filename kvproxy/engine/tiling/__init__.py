"""The seam between the engine loop and a device's kernels: tiles of rows, and what is known of their bits."""
