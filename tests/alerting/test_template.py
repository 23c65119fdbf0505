"""Templates print what Prometheus prints: promtool is the judge of all that it can render."""

import itertools
import math
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from collector.alerting.gotext import shortest
from collector.alerting.template import MAX_OUTPUT_CHARS, Surroundings, Template, TemplateError
from tests.conftest import require

LABELS = {
    "device_id": "srv-1",
    "instance": "web-1.example.org:9100",
    "ratio": "0.0321",
    "note": 'a "b"\\c',
    "empty": "",
}

TEMPLATES = [
    "plain text, } and { alone",
    "{{ $value }} {{ .Value }}",
    "{{ $labels }} {{ .Labels }}",
    "{{ $labels.device_id }} [{{ $labels.missing }}] {{ .Labels.note }}",
    '{{ index $labels "device_id" }}{{ index .Labels "missing" }}',
    "{{ humanize $value }} {{ $value | humanize }} {{ humanize $labels.ratio }} {{ humanize 12345 }}",
    "{{ humanize1024 $value }}",
    "{{ humanizeDuration $value }} {{ humanizeDuration 0.25 }} {{ humanizeDuration 90061.7 }}",
    "{{ humanizePercentage $value }} {{ $value | humanizePercentage }}",
    '{{ printf "%.2f" $value }} {{ $value | printf "%.0f%%" }}',
    '{{ printf "%g|%e|%G|%v|%.3g|%.3v|%F" $value $value $value $value $value $value $value }}',
    '{{ printf "%8.2f|%-8.2f|%08.2f|%+.1f|% .1f" $value $value $value $value $value }}',
    '{{ printf "%s|%10s|%-10s|%.2s|%q|%v" $labels.device_id "ab" "ab" "abc" $labels.note $labels }}',
    '{{ printf "%d|%5d|%-5d|%05d|%+d|%v|%t" 42 42 42 42 42 7 true }}',
    '{{ printf "%s: %s" ($labels.device_id | toUpper) (printf "%.1f" $value) }}',
    "{{ if gt $value 1.0 }}above{{ else }}below{{ end }}",
    "{{ if gt $value 1000.0 }}a{{ else if gt $value 1.0 }}b{{ else if eq $value 0.0 }}zero{{ else }}c{{ end }}",
    "{{ if $labels.missing }}there{{ else }}missing{{ end }}{{ if $value }}!{{ end }}{{ if $labels.empty }}no{{ end }}",
    '{{ if and (ge $value 0.0) (eq $labels.device_id "srv-1" "srv-2") }}yes{{ end }}',
    '{{ if or (lt $value 0.0) (not $labels.device_id) (ne $labels.device_id "x") }}yes{{ else }}no{{ end }}',
    "{{ and $labels.device_id $value }} {{ or $labels.missing $labels.device_id }} {{ not true }}",
    "{{ if le $value 1.0 }}{{ if lt $value 0.0 }}negative{{ else }}small{{ end }}{{ else }}large{{ end }}",
    "  a  {{- $value -}}  b  {{- /* a comment */ -}}  c {{/* another */}} d",
    "line\n{{ if true -}}\n  trimmed\n{{- end }}\nend",
    '{{ 100 }} {{ 1.50 }} {{ 1e3 }} {{ -3 }} {{ true }} {{ "a\\tb\\u00e9" }} {{ `raw\\n` }}',
    '{{ toUpper $labels.device_id }} {{ title "one two-three o\'clock" }} {{ "ABC" | toLower }}',
    '{{ reReplaceAll "([a-z]+)-([0-9])" "$2/${1}" $labels.device_id }} {{ match "^srv" $labels.device_id }}',
    '{{ reReplaceAll ":.*" "" .Labels.instance }} {{ stripPort $labels.instance }} {{ stripPort "[::1]:80" }}',
    '{{ reReplaceAll "x*" "-" "abc" }} {{ reReplaceAll "(?i)SRV" "$$" $labels.device_id }} {{ match "a.b" "a\\nb" }}',
    '{{ len $labels }} {{ len "é" }}',
    '{{ $labels.device_id | printf "%s=%s" "device" }}',
]
VALUES = [0.0, 1.0, -2.5, 0.8125, 0.00001234, 999.96, 1000.0, 123456.0, 1234567.0, 123456789.123, 1e21, 1e23, 3.5e-12]
TIMESTAMPS = [0.0, 1.0, 1421825500.25, 1784000000.0, -86400.5]


def failures_of(tmp_path: Path, cases: list[tuple[str, float]]) -> str:
    """What promtool says of each template rendered by us for a value; empty if it renders all of them alike."""
    rules, expected, series = [], [], []
    for number, (template, value) in enumerate(cases):
        rules.append(
            {"alert": f"Case{number}", "expr": f"last_over_time(case{number}[1m])", "annotations": {"text": template}}
        )
        labels = {"__name__": f"case{number}", **LABELS}
        texts = ", ".join(f"{name}={_quoted(text)}" for name, text in LABELS.items())
        series.append({"series": f"case{number}{{{texts}}}", "values": repr(value)})
        shown = {name: text for name, text in labels.items() if text}
        rendered = Template.compile(template).render(shown, value)
        alert = {
            "exp_labels": {name: text for name, text in LABELS.items() if text},
            "exp_annotations": {"text": rendered},
        }
        expected.append({"alertname": f"Case{number}", "eval_time": "0m", "exp_alerts": [alert]})
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "cases", "rules": rules}]}))
    test = {"rule_files": ["rules.yaml"], "tests": [{"input_series": series, "alert_rule_test": expected}]}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(test))
    command = [require("promtool"), "test", "rules", str(tmp_path / "test.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def test_renders_as_prometheus_does(tmp_path: Path) -> None:
    times = [("{{ humanizeTimestamp $value }}", value) for value in TIMESTAMPS]
    cases = [*itertools.product(TEMPLATES, VALUES), *times]
    # Beyond 64 bits Go's conversion to an integer is undefined, and differs between processors.
    cases = [(template, value) for template, value in cases if "Duration" not in template or value < 1e18]
    assert failures_of(tmp_path, cases) == ""


@given(st.floats(allow_nan=False))
def test_the_shortest_form_reads_back_as_the_same_number(value: float) -> None:
    assert float(shortest(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [(math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN"), (-0.0, "-0"), (999999.0, "999999"), (1e6, "1e+06")],
)
def test_numbers_at_the_edges(value: float, text: str) -> None:
    assert Template.compile("{{ $value }}").render({}, value) == text


@pytest.mark.parametrize(
    ("template", "advice"),
    [
        ("{{ $value", "no closing"),
        ("{{ }}", "empty"),
        ("{{ .Foo }}", "write $value, $labels or $labels.NAME"),
        ("{{ $surroundings.x }}", "write $value"),
        ("{{ $labels.x.y }}", "not known"),
        ("{{ range $labels }}x{{ end }}", "write out the labels"),
        ("{{ with $value }}x{{ end }}", "use if"),
        ("{{ $x := 3 }}", "variables are not taken"),
        ('{{ query "up" | first | value }}', "put what it needs into the expression"),
        ("{{ frobnicate $value }}", "known are"),
        ("{{ if gt $value 90 }}x{{ end }}", "write 90.0"),
        ('{{ if eq $value "x" }}x{{ end }}', "cannot compare"),
        ('{{ printf "%d" $value }}', "write %.2f"),
        ('{{ printf "%s" $value }}', "does not print a number"),
        ('{{ printf "%.2f" }}', "no value is left"),
        ('{{ printf "x" $value }}', "more values than verbs"),
        ('{{ printf "%999f" $value }}', "wider than"),
        ('{{ printf "%z" $value }}', "'%z' is not taken"),
        ("{{ printf $labels.x }}", "constant format"),
        ("{{ humanize $labels }}", "got labels"),
        ("{{ humanize }}", "takes 1 values, got 0"),
        ('{{ reReplaceAll "(" "" $labels.x }}', "regular expression"),
        ("{{ match $labels.x $labels.y }}", "constant"),
        ("{{ if $value }}", "no {{ end }}"),
        ("{{ end }}", "without an 'if'"),
        ("{{ if $value }}{{ else }}{{ else }}{{ end }}", "two plain 'else'"),
        ("{{ if }}x{{ end }}", "a value is missing"),
        ("{{ $value | }}", "a value is missing"),
        ("{{ $value | 3 }}", "must stand a function"),
        ("{{ ($value }}", "not closed"),
        ("{{ $value ) }}", "not expected"),
        ("{{ humanize humanize $value }}", "parentheses"),
        ('{{ "a\\qb" }}', "is no escape"),
        ('{{ "\\ud800" }}', "is no character"),
        ("{{ $value # }}", "cannot be read"),
        ("{{ " + "(" * 50 + "1" + ")" * 50 + " }}", "nested deeper"),
        ("{{ if $value }}" * 50 + "{{ end }}" * 50, "nested deeper"),
    ],
)
def test_what_is_refused_comes_with_advice(template: str, advice: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template.compile(template)
    assert advice in str(caught.value)


def test_an_error_knows_its_line() -> None:
    with pytest.raises(TemplateError) as caught:
        Template.compile("one {{ $value }}\ntwo\nthree {{ .Nope }}")
    assert caught.value.line_offset == 2


def test_what_fails_only_with_some_labels_is_said_in_the_text() -> None:
    template = Template.compile("{{ humanize $labels.x }}")
    assert template.render({"x": "1500"}, 0.0) == "1.5k"
    assert template.render({"x": "many"}, 0.0).startswith("<error expanding template: ")


def test_output_is_bounded() -> None:
    template = Template.compile("{{ $labels }}" * 100)
    assert len(template.render({f"label_{i}": "x" * 500 for i in range(30)}, 1.0)) == MAX_OUTPUT_CHARS


@given(st.text(alphabet='{}$.|()"`\\ abvluegtif-/*%d1\n', max_size=60), st.floats())
def test_any_text_is_compiled_or_refused_and_then_rendered(text: str, value: float) -> None:
    try:
        template = Template.compile("{{" + text)
    except TemplateError:
        return
    assert isinstance(template.render(LABELS, value), str)


def test_what_surrounds_all_alerts_is_known_when_a_template_is_compiled() -> None:
    text = "{{ $externalLabels.region }} {{ .ExternalLabels.region }} {{ $externalLabels.x }} {{ $externalURL }}"
    surroundings = Surroundings({"region": "eu"}, "https://x")
    assert Template.compile(text, surroundings).render({}, 0) == "eu eu  https://x"
    assert Template.compile("{{ $externalLabels }}", surroundings).render({}, 0) == "map[region:eu]"
    assert Template.compile("{{ $externalURL }}").render({}, 0) == ""
