"""``kvproxy bench fleet-simulation``: the product's own routing and residency over simulated replicas."""
