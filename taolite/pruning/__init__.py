"""Pruning: which channels a network can do without (`plan`), and the network without them (`apply`)."""
