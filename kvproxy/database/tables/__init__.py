"""Tables by subject; each registers in ``METADATA``."""
