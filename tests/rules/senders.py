"""Series that rules read and no probe declares: by metric, the labels beside the reserved ones."""

from collections.abc import Mapping, Set

Labels = Mapping[str, Set[str]]

COLLECTOR: Labels = {
    "quarkpulse_threshold": {"name"},
    "quarkpulse_device_up": set(),
    "quarkpulse_device_presence": {"state"},
    "quarkpulse_site_up": set(),
    "quarkpulse_agent_outdated": set(),
    "quarkpulse_device_unexpected_restarts_total": {"cause"},
    "printer_supply_days_left": {f"printer_supply_{one}" for one in ("index", "type", "color", "description")},
    "printer_supply_remaining_ratio": {f"printer_supply_{one}" for one in ("index", "type", "color", "description")},
    "printer_pages_per_day": set(),
    "printer_maintenance_days_left": set(),
}

# What the collector measures of itself, for the customer `provider`.
OWN_HEALTH: Labels = {
    "quarkpulse_build_info": {"version"},
    "quarkpulse_store_faults_total": {"fault"},
    "quarkpulse_ingest_pushes_total": {"result"},
    "quarkpulse_ingest_frames_refused_total": {"reason"},
    "quarkpulse_log_fsync_duration_seconds_sum": set(),
    "quarkpulse_log_fsync_duration_seconds_count": set(),
    "quarkpulse_data_free_ratio": set(),
    "quarkpulse_history_failures_total": set(),
    "quarkpulse_history_segments_waiting": set(),
    "quarkpulse_history_damaged_reads_total": set(),
    "quarkpulse_outbox_oldest_seconds": {"connector"},
    "quarkpulse_outbox_parked": {"connector"},
    "quarkpulse_rule_group_iterations_missed_total": {"group"},
    "quarkpulse_rule_evaluation_failures_total": {"group"},
    "quarkpulse_rule_conflicts_total": set(),
    "quarkpulse_customers_without_contract": set(),
}
