"""Benches of fleets: several replicas of an engine behind one proxy, real ones or fakes."""
