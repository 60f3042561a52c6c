"""Learning which calls may stop lower, from a gateway's own traffic: coins, comparisons, cells, money.

`Learner` keeps the cells and says who may answer; `Worker` makes the labels in the background. The mathematics is in
`rung.ladder.trust`; docs/trust.md tells the method.
"""

from rung.learning.gate import CallGate
from rung.learning.learner import Learner
from rung.learning.work import Worker
from rung.learning.world import World

__all__ = ["CallGate", "Learner", "Worker", "World"]
