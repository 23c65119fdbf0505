"""Play stories by hand: `python -m tests.scenarios tests/scenarios/stories/*.yaml`."""

import sys
import tempfile
import time
from pathlib import Path

import uvloop

from tests.scenarios.run import Run
from tests.scenarios.story import load_story


def main(paths: list[str]) -> int:
    failed = 0
    for path in paths:
        story = load_story(Path(path))
        with tempfile.TemporaryDirectory(prefix="quarkpulse-story-") as folder:
            run = Run(story, Path(folder))
            started, cpu_started = time.monotonic(), time.process_time()
            outcome = uvloop.run(run.play())
            seconds, cpu_seconds = time.monotonic() - started, time.process_time() - cpu_started
        failed += bool(run.problems)
        print(f"{'FAILED' if run.problems else 'ok'}  {story.story} ({seconds:.1f} s, {cpu_seconds:.1f} s of CPU)")
        print(outcome.told(story.zone))
        print("\n".join(run.problems))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
