"""Why a prompt missed: its first difference from the nearest text that the caller may know of, and the cause."""
