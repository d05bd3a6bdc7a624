"""A replica of vLLM without a model, over HTTP and ZMQ, for tests and for trying out fleets."""
