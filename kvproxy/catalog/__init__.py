"""The catalog of documents on offer, and quotes: signed prices of a request, honoured until they expire."""
