"""A client's JSON schemas: references, patterns, formats, and what is relaxed where not all can be enforced."""
