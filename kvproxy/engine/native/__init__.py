"""The engine's own CPU kernels: C++ in ``kernels/``, compiled into one library and called through ctypes."""
