"""kvproxy beside what a person could run instead: servers with OpenAI's API, measured by one client."""
