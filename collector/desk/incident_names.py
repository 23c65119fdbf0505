"""The incidents that the collector makes itself. A rule's alerts must not share their tickets."""

STORM = "storm"  # many incidents at one customer at once
DEVICE_SILENT = "device_silent"  # the question whether a device is still in use
MAINTENANCE = "maintenance"  # a round of regular maintenance
ONBOARDING = "onboarding"  # a customer is taken on
RESERVED_INCIDENTS = frozenset({STORM, DEVICE_SILENT, MAINTENANCE, ONBOARDING})
