"""HTTP: routes, keys, SSE, errors. The only package that imports aiohttp; it decides nothing."""
