"""`python -m bench NAME --json`: runs `bench.NAME.main(arguments)`, which gives the exit code."""

import importlib
import pkgutil
import sys

import bench


def main(arguments: list[str]) -> int:
    names = sorted(module.name for module in pkgutil.iter_modules(bench.__path__) if not module.name.startswith("_"))
    if not arguments or arguments[0] not in names:
        sys.stderr.write(f"usage: python -m bench NAME [--json] ...; NAME is one of {', '.join(names)}\n")
        return 2
    code: int = importlib.import_module(f"bench.{arguments[0]}").main(arguments[1:])
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
