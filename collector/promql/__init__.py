"""PromQL: parse, plan, evaluate over whole fleets at once. Knows only the read interface of series."""
