"""The HTTP server: routes, keys, event streams and errors on aiohttp. Decisions are the pipeline's."""
