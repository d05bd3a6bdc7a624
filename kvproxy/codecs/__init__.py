"""Lossless compression of pages of KV: one frame for each layer's K or V, equal to the bit when decoded.

``page_codec`` is what a store knows of it; ``open_codec`` finds one by its name.
"""
