"""The component stack of one proxy process, built from the configuration.

Read :mod:`kvproxy.stack.open_stack` first: it lists the components in the order in which they open, and they close
in reverse. ``open_engine`` has the model, the store and the engine; ``open_documents`` the library, its publisher
and the exactness checks; ``open_backends`` the upstreams. ``background`` owns every task that serves no request.
``kvproxy.serve`` and the benchmarks call `open_stack`; nothing below this package knows the configuration.
"""
