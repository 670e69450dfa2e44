"""From an item to its resolution: states, leases, verdicts, and who agrees with whom."""
