"""What `doctor` says of each thing that it looks at."""

from typing import NamedTuple


class Finding(NamedTuple):
    """One thing looked at. `advice` says what to do if it is not well, or if it is worth a notice all the same."""

    check: str
    is_well: bool
    detail: str
    advice: str = ""
    is_notice: bool = False
