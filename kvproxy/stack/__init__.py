"""The component stack of one proxy process, built from the configuration.

Read :mod:`kvproxy.stack.open_stack` first: it lists the components in the order in which they open, and they close
in reverse. ``local_engine`` has the model, the store and the engine, and with them all that needs torch: it is imported
where the configuration has a local model. ``open_fleets`` has the models of replicas, ``open_documents`` the primary
model's library and publisher, ``followed_models`` the other models' libraries, ``open_backends`` the upstreams.
``background`` owns every task that serves no request. ``kvproxy.serve`` and the benchmarks call `open_stack`; nothing
below this package knows the configuration.
"""
