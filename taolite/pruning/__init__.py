"""Pruning: which channels a network can lose (`plan`, a value), and the network without them (`apply`)."""
