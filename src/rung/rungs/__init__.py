"""The rungs, lowest first. `ORDER` is the ladder as data; `rung.ladder.policy` decides which of them a call may ask."""

ORDER = ("tool", "exact", "semantic", "local", "cloud")
