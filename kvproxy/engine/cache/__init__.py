"""The KV cache: pages, their prefix index, eviction, and moving pages to disk and back. One lock.

Orientation, from a lookup to an eviction:

1. `KVCache` (kv_cache) is the only entry point. It holds the lock, finds prefixes in `PrefixIndex` (prefix_index,
   siblings, page_key) and takes pages from `PagePool` (page_pool) by `PageLedger` (page_ledger), which counts
   reservations.
2. Both report each change of holders and of retained nodes to `EvictionHeap` (eviction_heap), which keeps the evictable
   pages ordered by `EvictionPolicy.priority` (eviction_policy).
3. `GreedyDual`, the default policy, weighs a page's uses with the seconds that `PageCosts` (page_costs) expects for
   computing it again or reading it back.
4. Without a free page, `KVCache.take` calls `PageEvictor.evict_one` (page_evictor): it asks the heap for the victim,
   copies it to `SpillTier` (spill_tier) where that pays, and frees the page or forgets its node.
5. `PageIO` (page_io, fair_threads) reads and writes pages on I/O threads; `PageWriter` (page_writer) stores registered
   pages through it, and `pin_prefix` (page_pins) pins a published prefix.

Three words for keeping a page: requests *retain* and *release* nodes, publishers *pin* and *unpin* them, and admission
*reserves* pages that no sequence has taken yet. Pages themselves have *holders*: sequences and index nodes.
"""
