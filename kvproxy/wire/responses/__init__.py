"""OpenAI's Responses API for the local model. Pure: JSON in, values out, and back."""
