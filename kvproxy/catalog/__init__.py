"""The catalog of documents that are offered, and quotes: signed prices of a request that are honoured until they expire."""
