"""A fleet as a backend: replicas of an existing engine, vLLM's or SGLang's, behind the contract of the local engine."""
