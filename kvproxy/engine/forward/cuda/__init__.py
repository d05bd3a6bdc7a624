"""The engine on a CUDA device: Triton kernels with rows that depend on nothing but themselves, replayed as one graph.

Imported only where a model is put on such a device; Triton comes with torch's CUDA builds alone.
"""
