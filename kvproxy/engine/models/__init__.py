"""Model folders: where they come from, which are supported, and what they need of this machine."""
