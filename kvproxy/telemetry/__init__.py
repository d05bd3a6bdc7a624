"""What an operator sees of a running proxy, as figures for Prometheus."""
