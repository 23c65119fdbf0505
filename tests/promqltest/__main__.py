"""`python -m tests.promqltest FILE… [--json]`: exit code 0 if every eval passed or was skipped, 1 if some failed, 2 for
files that cannot be read."""

import argparse
import json
import sys
from pathlib import Path

from tests.promqltest.runner import run_file
from tests.promqltest.script import ScriptError


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.promqltest",
        description="Runs Prometheus's query test scripts against the collector's own engine.",
        epilog="example: python -m tests.promqltest tests/promqltest/scripts/*.test",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--json", action="store_true", help="print a JSON array, one object for each file")
    options = parser.parse_args()
    reports = []
    for path in options.files:
        try:
            reports.append(run_file(path))
        except (OSError, UnicodeDecodeError, ScriptError) as exc:
            print(f"{path}:{exc}", file=sys.stderr)
            return 2
    if options.json:
        print(json.dumps([report.as_json() for report in reports], indent=2))
    else:
        print("\n".join(report.summary() for report in reports))
    return 1 if any(report.failures for report in reports) else 0


if __name__ == "__main__":
    sys.exit(main())
