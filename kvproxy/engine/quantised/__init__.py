"""Quantised weights: GGUF files and group-quantised safetensors, as blocks that the native kernels multiply with."""
