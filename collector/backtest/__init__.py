"""What rules would have done: stored history through the rules and the whole incident path, told in tickets."""
