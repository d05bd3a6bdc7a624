"""Bodies of the endpoints around the models: lists, health, tokens, embeddings."""
