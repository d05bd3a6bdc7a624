"""The life of a published document between its publish and its end: pinned, unpinned, warmed.

``document_residency`` has the operations; the publisher makes one over its own parts.
"""
