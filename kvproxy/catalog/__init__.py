"""Catalog of the documents on offer, and quotes: signed prices of a request, honoured until they expire."""
