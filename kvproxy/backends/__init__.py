"""Sources of tokens: the local engine, litellm, raw upstreams, and a fake for tests; protocols in `base`."""
