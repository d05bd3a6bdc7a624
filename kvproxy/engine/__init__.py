"""The engine: a model on tiles of fixed shape, attention over KV pages, and the thread that owns both.

Read in this order: ``attention`` (what makes a hit exact), ``cache`` (pages and the prefix index),
``scheduler`` (what goes into a tile), ``worker`` (the thread). torch and transformers are imported here only.
"""
