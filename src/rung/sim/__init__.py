"""Protocol-faithful fakes of the providers: to try rung without keys, and to rehearse what can go wrong.

See docs/simulators.md. Everything a simulator sends carries ``x-rung-simulated: true``.
"""

from rung.sim.clock import Clock, RealClock
from rung.sim.scenario import Scenario
from rung.sim.server import Simulator, simulator

__all__ = ["Clock", "RealClock", "Scenario", "Simulator", "simulator"]
