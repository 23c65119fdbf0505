"""`python -m tests.agent.patience` is `quarkpulse-agent`, with patience: where tests run, any process may stand still
for many seconds, in which a real agent gives up what it waits for, and goes on another way."""

import os
import sys

PATIENT_AGENT = (sys.executable, "-m", "tests.agent.patience")
PATIENCE_SECONDS = 60.0


def be_patient() -> None:
    """With the collector and with probes, from now on in this process."""
    from agent import greeting, runner  # noqa: PLC0415 - what starts anew has no use for these
    from agent.failover import Failover  # noqa: PLC0415
    from agent.sampling import Sampler  # noqa: PLC0415
    from agent.uplink import Uplink  # noqa: PLC0415

    runner.GOODBYE_SECONDS = greeting.GREETING_SECONDS = PATIENCE_SECONDS
    Uplink.set_patience.__defaults__ = Failover.set_patience.__defaults__ = (PATIENCE_SECONDS, PATIENCE_SECONDS)
    Sampler.__init__.__kwdefaults__ = {"patience_seconds": PATIENCE_SECONDS}


def forget_the_boot() -> None:
    """An agent waits for its place only where the machine has just booted."""
    from agent import grid  # noqa: PLC0415 - see above

    grid.JUST_BOOTED_SECONDS = 0.0


if __name__ == "__main__":
    from agent.main import main
    from agent.orphans import VARIABLE

    if os.environ.get(VARIABLE) == str(os.getpid()):  # started anew, as the reaper
        be_patient()
        forget_the_boot()
    main()
