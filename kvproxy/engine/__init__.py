"""The engine: a model on tiles of rows, attention over KV pages, and the thread that owns both.

Read in this order: ``tiling.tiles`` (what makes a hit exact), ``cache`` (pages and the prefix index),
``loop.scheduler`` (plans a tile's rows), ``loop.engine`` (the thread). torch and transformers are imported here only.
"""

from kvproxy.runtime.openmp_waiting import bound_waiting

bound_waiting()
