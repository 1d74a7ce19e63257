"""The collector: receives every producer's records and puts each on disk exactly once."""
