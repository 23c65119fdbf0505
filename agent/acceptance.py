"""What a probe returned, checked: a probe is anybody's program, and must not be able to spoil a frame."""

import re
from collections.abc import Sequence

from agent.probes.base import ProbeFailed, Sample
from protocol.wire import LABEL_NAME_PATTERN, MAX_LABELS_PER_SERIES, MAX_NAME_CHARS, METRIC_NAME_PATTERN

MAX_SERIES_PER_PROBE = 1000  # half of what a device may have in all
METRIC_NAME = re.compile(METRIC_NAME_PATTERN)
LABEL_NAME = re.compile(LABEL_NAME_PATTERN)


def accept(samples: object) -> Sequence[Sample]:
    """The samples, if every one of them can go into a frame. Raises ProbeFailed."""
    if not isinstance(samples, list | tuple):
        raise ProbeFailed(f"the probe gave no list of samples but {type(samples).__name__}")
    if len(samples) > MAX_SERIES_PER_PROBE:
        raise ProbeFailed(f"the probe gave {len(samples)} series; at most {MAX_SERIES_PER_PROBE} are taken")
    for sample in samples:
        if not is_sound(sample):
            raise ProbeFailed(f"the probe gave something that is no sample: {sample!r:.200}")
    return samples


def is_sound(sample: object) -> bool:
    if not isinstance(sample, Sample):
        return False
    fields: tuple[object, object, object] = (sample.name, sample.value, sample.labels)  # declared, not yet so
    name, value, labels = fields
    return (
        isinstance(name, str)
        and len(name) <= MAX_NAME_CHARS
        and METRIC_NAME.match(name) is not None
        and (value is None or isinstance(value, float) or (isinstance(value, int) and abs(value) < 1 << 1000))
        and isinstance(labels, dict)
        and len(labels) <= MAX_LABELS_PER_SERIES
        and all(is_label(label, text) for label, text in labels.items())
    )


def is_label(name: object, text: object) -> bool:
    return isinstance(name, str) and isinstance(text, str) and LABEL_NAME.match(name) is not None
