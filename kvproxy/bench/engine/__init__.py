"""Measurement drivers of the engine: token ids in, times and bits out. No HTTP."""
