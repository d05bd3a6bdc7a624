"""The processor time of the dashboard, of lists of many documents and of traces, in a proxy on the fake backend."""
