"""Where tokens come from: the local engine, litellm, and a fake for tests."""
