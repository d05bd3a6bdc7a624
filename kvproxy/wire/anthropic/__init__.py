"""The Messages API of Anthropic, as another way to say a chat request and its answer."""
