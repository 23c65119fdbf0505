"""What the description promises holds for requests that nobody thought of: schemathesis against a real process."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi import checks as known

from tests.e2e.harness import Collector, collector_in, eventually

# What is wrong is refused; what is so long that it is not read, with 413.
REFUSED = ["400", "401", "403", "404", "405", "406", "409", "412", "413", "415", "422", "428", "429"]
EXAMPLES = 12  # of each operation, and as many that must be refused


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """A collector with two customers and a device."""
    with collector_in(tmp_path_factory.mktemp("desk")) as collector:
        collector.add_customers()
        collector.enrol("acme").push_disk(0.5)
        yield collector


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["POSITIVE", "NEGATIVE"])
def test_every_answer_is_as_described(served: Collector, mode: str) -> None:
    checks = [
        not_a_server_error,
        known.status_code_conformance,
        known.content_type_conformance,
        known.response_schema_conformance,
        known.unsupported_method,
        known.negative_data_rejection,
    ]
    token = served.run("tokens", "create", "--role", "admin").strip()
    headers = {"Authorization": f"Bearer {token}"}
    address = f"{served.url}/api/desk/v1/openapi.json"
    # `serve` takes a new token up within a second.
    eventually(lambda: requests.get(address, headers=headers, timeout=10).ok or None, "the token is known")
    config = SchemathesisConfig.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": REFUSED}}})
    schema = schemathesis.openapi.from_url(address, config=config, headers=headers)
    asked = set()
    for found in schema.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr] # of an invalid schema this ends the test

        @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode[mode]))
        def run(case: Any) -> None:
            case.call_and_validate(headers=headers, checks=checks)

        run()
        asked.add(operation.label)
    assert len(asked) > 40
