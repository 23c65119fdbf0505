"""Series that rules read and no probe declares: by metric, the labels beside the reserved ones."""

from collections.abc import Mapping, Set

Labels = Mapping[str, Set[str]]

SUPPLY = {f"printer_supply_{one}" for one in ("index", "type", "color", "description")}

COLLECTOR: Labels = {
    "quarkpulse_threshold": {"name"},
    "quarkpulse_device_up": set(),
    "quarkpulse_device_presence": {"state"},
    "quarkpulse_site_up": set(),
    "quarkpulse_agent_outdated": set(),
    "quarkpulse_device_unexpected_restarts_total": {"cause"},
}

# Made by the printer readers, whose values follow RFC 2790 and the IANA printer MIB.
PRINTERS: Labels = {
    "printer_reachable": set(),
    "printer_error": {"printer_error"},
    "printer_supply_level_ratio": SUPPLY,
    "printer_supply_empty": SUPPLY,
    "printer_supply_days_left": SUPPLY,
    "printer_alert": {"printer_alert_group", "printer_alert_code"},
    "printer_tray_level_ratio": {"printer_tray"},
    "printer_pages_total": set(),
}

# What the collector measures of itself, for the customer `provider`.
OWN_HEALTH: Labels = {
    "quarkpulse_store_faults_total": {"fault"},
    "quarkpulse_ingest_pushes_total": {"result"},
    "quarkpulse_ingest_frames_refused_total": {"reason"},
    "quarkpulse_log_fsync_duration_seconds_sum": set(),
    "quarkpulse_log_fsync_duration_seconds_count": set(),
    "quarkpulse_data_free_ratio": set(),
    "quarkpulse_history_failures_total": set(),
    "quarkpulse_history_segments_waiting": set(),
    "quarkpulse_history_damaged_reads_total": set(),
    "quarkpulse_rule_group_iterations_missed_total": {"group"},
    "quarkpulse_rule_evaluation_failures_total": {"group"},
    "quarkpulse_rule_conflicts_total": set(),
    "quarkpulse_outbox_oldest_seconds": set(),
}

# Promised by probes that are being built; a probe's own declaration goes before.
PROBES_TO_COME: Labels = {
    "service_up": {"service_name"},
    "service_failed": {"service_name"},
    "update_pending": {"update_type"},
    "update_reboot_required_seconds": set(),
    "update_index_age_seconds": set(),
    "update_last_installed_age_seconds": set(),
    "security_antivirus_enabled": {"security_product"},
    "security_antivirus_signature_age_seconds": {"security_product"},
    "security_firewall_enabled": {"security_profile"},
    "security_disk_encrypted": {"system_filesystem_mountpoint"},
    "security_auto_update_enabled": set(),
    "security_failed_logons_total": set(),
    "hw_disk_healthy": {"hw_id", "hw_name"},
    "hw_disk_reallocated_sectors": {"hw_id", "hw_name"},
    "hw_disk_pending_sectors": {"hw_id", "hw_name"},
    "hw_disk_media_errors_total": {"hw_id", "hw_name"},
    "hw_disk_wear_ratio": {"hw_id", "hw_name"},
    "hw_raid_healthy": {"hw_id"},
    "hw_raid_failed_disks": {"hw_id"},
    "hw_raid_sync_ratio": {"hw_id"},
    "hw_battery_health_ratio": set(),
    "certificate_expiry_seconds": {"certificate_source"},
    "certificate_readable": {"certificate_source"},
    "backup_age_seconds": {"backup_name"},
    "backup_size_bytes": {"backup_name"},
    "backup_ok": {"backup_name"},
    "system_clock_synchronized": set(),
    "system_clock_offset_seconds": set(),
    "system_log_errors_total": {"log_source"},
    "system_memory_oom_kills_total": set(),
    "system_pressure_stall_ratio": {"system_resource"},
}
