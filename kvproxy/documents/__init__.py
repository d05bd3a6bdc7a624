"""Published documents: texts, versions, tokens, and what of them is kept."""
