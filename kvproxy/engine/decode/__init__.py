"""Decoding, from logits to text: sampling, grammars, speculation and detokenising. No cache, no kernels."""
