"""Measurement drivers of the engine: token ids in, times and bits out. No HTTP."""

from kvproxy.runtime.openmp_waiting import bound_waiting

bound_waiting()
