"""Check and repair of a whole store: registry, pages in every tier, manifests, responses, and what belongs to nothing.

``store_faults`` has the values, ``check_store`` finds, ``repair_store`` mends a store that nobody uses, ``live_upkeep``
does both beside a running proxy.
"""
