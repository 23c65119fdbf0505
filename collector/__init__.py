"""The server: takes in samples, evaluates rules, opens tickets as the contract says."""
