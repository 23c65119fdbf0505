"""Small rule test files, each probing a corner of promtool's format: what they hold is judged by promtool, not here."""
# ruff: noqa: E501 - a case is read in one line, and wrapped YAML is not read at all

RULES = """\
groups:
- name: alerts
  rules:
  - alert: Down
    expr: up == 0
    for: 2m
    labels: {severity: page, job: "{{ $labels.job }}!", gone: ""}
    annotations: {summary: "{{ $labels.instance }} is {{ $value }}", empty: ""}
  - alert: Always
    expr: vector(1)
  - alert: Twice
    expr: twice > 1
  - alert: Twice
    expr: twice > 2
    labels: {level: second}
- name: recording
  interval: 7m
  rules:
  - record: job:up:sum
    expr: sum by (job) (up)
    labels: {made: here}
  - record: firing
    expr: count(ALERTS{alertstate="firing"})
"""

DUPLICATES = """\
groups:
- name: g
  rules:
  - {record: same, expr: "label_replace(up, \\"instance\\", \\"\\", \\"\\", \\"\\")"}
"""
CLASH = "groups:\n- name: g\n  rules:\n  - {record: x, expr: vector(1)}\n  - {record: x, expr: vector(2)}\n"
EQUAL_CLASH = CLASH.replace("vector(2)", "vector(1)")
ALERT_CLASH = "groups:\n- name: g\n  rules:\n  - {alert: A, expr: up, labels: {instance: one}}\n"
LIMIT = "groups:\n- name: g\n  limit: 1\n  rules:\n  - {alert: A, expr: up == 0}\n"
FAILING = "groups:\n- name: g\n  rules:\n  - {record: r, expr: up * on (job) up}\n"
MATRIX = "groups:\n- name: g\n  rules:\n  - {record: r, expr: 'up[5m]'}\n"
ORDERED = (
    "groups:\n- name: b\n  rules:\n  - {record: second, expr: first + 1}\n"
    "- name: a\n  rules:\n  - {record: first, expr: sum(up)}\n"
)
TEMPLATES = """\
groups:
- name: g
  rules:
  - alert: T
    expr: up == 0
    labels: {region: "{{ $externalLabels.region }}{{ .ExternalLabels.none }}"}
    annotations:
      url: "{{ $externalURL }} {{ .ExternalURL }}"
      value: '{{ $value | printf "%.2f" }} {{ with_no }}'
"""
GOOD_TEMPLATES = TEMPLATES.replace(" {{ with_no }}", "{{ if gt $value 0.5 }} high{{ else }} low{{ end }}")
READS_ALERTS = """\
groups:
- name: g
  rules:
  - {alert: First, expr: up == 0}
  - {alert: Second, expr: up == 0 unless on (instance) ALERTS{alertname="First"}}
  - {alert: Third, expr: time() - ALERTS_FOR_STATE{alertname="First"} >= 120}
"""
TENANT = """\
groups:
- name: g
  rules:
  - {alert: Mixed, expr: sum(up) > 1, labels: {customer: nobody, scope: "{{ $value }}", ticket: maybe}}
  - {record: quarkpulse_up, expr: count(up)}
"""
LOOK_BACK = (
    "groups:\n- name: g\n  rules:\n  - {record: before, expr: up offset 1m}\n  - {record: after, expr: up offset -1m}\n"
)

UP = """\
- interval: 1m
  input_series:
  - {series: 'up{job="x", instance="a"}', values: "1 0x10"}
  - {series: 'up{job="x", instance="b"}', values: "1x10"}
"""


def looks(*tests: str, series: str = UP, head: str = "rule_files: [rules.yml]\n") -> str:
    """A test file with alert tests (`alert …`) and tests of expressions."""
    alerts = [one.removeprefix("alert ") for one in tests if one.startswith("alert ")]
    exprs = [one for one in tests if not one.startswith("alert ")]
    body = head + "tests:\n" + series
    if alerts:
        body += "  alert_rule_test:\n" + "".join(f"  - {one}\n" for one in alerts)
    if exprs:
        body += "  promql_expr_test:\n" + "".join(f"  - {one}\n" for one in exprs)
    return body


def values(series: str, *tests: str) -> str:
    return looks(*tests, series=f"- interval: 1m\n  input_series:\n  - {{series: x, values: '{series}'}}\n", head="")


DOWN = 'exp_labels: {severity: page, job: "x!", instance: a}, exp_annotations: {summary: a is 0, empty: ""}'

CASES: dict[str, tuple[str, str]] = {
    "fires when for is over": (
        RULES,
        looks(
            "alert {eval_time: 2m, alertname: Down, exp_alerts: []}",
            f"alert {{eval_time: 3m, alertname: Down, exp_alerts: [{{{DOWN}}}]}}",
        ),
    ),
    "pending is not firing": (RULES, looks(f"alert {{eval_time: 2m, alertname: Down, exp_alerts: [{{{DOWN}}}]}}")),
    "an alert that is missing": (RULES, looks("alert {eval_time: 3m, alertname: Nope, exp_alerts: [{}]}")),
    "an alert that nobody has and nobody expects": (RULES, looks("alert {eval_time: 3m, alertname: Nope}")),
    "an alert too many": (RULES, looks("alert {eval_time: 3m, alertname: Down, exp_alerts: []}")),
    "an alert not asked for is not looked at": (RULES, looks("alert {eval_time: 3m, alertname: Twice}")),
    "wrong labels": (
        RULES,
        looks(f"alert {{eval_time: 3m, alertname: Down, exp_alerts: [{{{DOWN.replace('page', 'ticket')}}}]}}"),
    ),
    "wrong annotations": (
        RULES,
        looks(f"alert {{eval_time: 3m, alertname: Down, exp_alerts: [{{{DOWN.replace('is 0', 'is 1')}}}]}}"),
    ),
    "empty annotations count": (
        RULES,
        looks(f"alert {{eval_time: 3m, alertname: Down, exp_alerts: [{{{DOWN.replace(', empty: ' + chr(34) * 2, '')}}}]}}"),
    ),
    "empty expected labels do not match": (
        RULES,
        looks(f"alert {{eval_time: 3m, alertname: Down, exp_alerts: [{{{DOWN.replace('severity', 'gone: x, severity')}}}]}}"),
    ),
    "an expected alertname is overwritten": (
        RULES,
        looks("alert {eval_time: 0, alertname: Always, exp_alerts: [{exp_labels: {alertname: Other}}]}"),
    ),
    "alerts between two evaluations": (RULES, looks(f"alert {{eval_time: 3m59s, alertname: Down, exp_alerts: [{{{DOWN}}}]}}")),
    "two rules of one name": (
        RULES,
        looks(
            "alert {eval_time: 1m, alertname: Twice, exp_alerts: [{exp_labels: {level: second}}, {exp_labels: {}}]}",
            series='- interval: 1m\n  input_series:\n  - {series: twice, values: "1 3"}\n',
        ),
    ),
    "expected twice": (RULES, looks("alert {eval_time: 0, alertname: Always, exp_alerts: [{}, {}]}")),
    "an alert test without a name": (RULES, looks("alert {eval_time: 0, exp_alerts: [{}]}")),
    "ALERTS by state": (
        RULES,
        looks(
            "{expr: 'count(ALERTS{alertname=\"Down\",alertstate=\"pending\"})', eval_time: 2m, exp_samples: [{labels: '{}', value: 1}]}",
            "{expr: 'ALERTS{alertname=\"Down\"}', eval_time: 3m, exp_samples: [{value: 1, labels: "
            '\'ALERTS{alertname="Down",alertstate="firing",job="x!",instance="a",severity="page"}\'}]}',
            "{expr: 'ALERTS_FOR_STATE{alertname=\"Down\"}', eval_time: 3m, exp_samples: [{value: 60, labels: "
            '\'ALERTS_FOR_STATE{alertname="Down",job="x!",instance="a",severity="page"}\'}]}',
            "{expr: firing, eval_time: 5m, exp_samples: [{labels: firing, value: 2}]}",
        ),
    ),
    "ALERTS end with the alert": (
        RULES,
        looks(
            "{expr: 'ALERTS{alertname=\"Down\"}', eval_time: 4m, exp_samples: []}",
            series='- interval: 1m\n  input_series:\n  - {series: up, values: "0 0 0 1 1"}\n',
        ),
    ),
    "rules read the alerts before them": (
        READS_ALERTS,
        looks(
            "alert {eval_time: 3m, alertname: Second, exp_alerts: []}",
            "alert {eval_time: 3m, alertname: Third, exp_alerts: [{exp_labels: {job: x, instance: a}}]}",
        ),
    ),
    "recorded with labels": (
        RULES,
        looks("{expr: 'job:up:sum', eval_time: 1m, exp_samples: [{labels: 'job:up:sum{job=\"x\", made=\"here\"}', value: 1}]}"),
    ),
    "a group's interval does not count": (
        RULES,
        looks("{expr: 'timestamp(job:up:sum)', eval_time: 3m, exp_samples: [{labels: '{job=\"x\", made=\"here\"}', value: 180}]}"),
    ),
    "recorded series end": (
        RULES,
        looks(
            "{expr: 'job:up:sum', eval_time: 2m, exp_samples: []}",
            series='- interval: 1m\n  input_series:\n  - {series: \'up{job="x"}\', values: "1 1 stale"}\n',
        ),
    ),
    "order of groups": (
        ORDERED,
        looks(
            "{expr: second, eval_time: 0, exp_samples: [{labels: second, value: 3}]}",
            head="rule_files: [rules.yml]\ngroup_eval_order: [a, b]\n",
        ),
    ),
    "order of groups, backwards": (
        ORDERED,
        looks(
            "{expr: second, eval_time: 0, exp_samples: [{labels: second, value: 3}]}",
            head="rule_files: [rules.yml]\ngroup_eval_order: [b, a]\n",
        ),
    ),
    "a group stands twice in the order": (ORDERED, looks(head="group_eval_order: [b, a, b]\n")),
    "templates and what surrounds them": (
        GOOD_TEMPLATES,
        looks(
            "alert {eval_time: 1m, alertname: T, exp_alerts: [{exp_labels: {job: x, instance: a, region: eu},"
            " exp_annotations: {url: 'http://p/q http://p/q', value: 0.00 low}}]}",
            series=UP.replace("- interval: 1m\n", "- interval: 1m\n  external_labels: {region: eu}\n  external_url: http://p/q\n"),
        ),
    ),
    "templates without surroundings": (
        GOOD_TEMPLATES,
        looks(
            "alert {eval_time: 1m, alertname: T, exp_alerts: [{exp_labels: {job: x, instance: a},"
            " exp_annotations: {url: ' ', value: 0.00 low}}]}"
        ),
    ),
    "a template that is none": (TEMPLATES, looks()),
    "what only several customers forbid": (
        TENANT,
        looks(
            "alert {eval_time: 0, alertname: Mixed, exp_alerts: [{exp_labels: {customer: nobody, scope: '2', ticket: maybe}}]}",
            "{expr: quarkpulse_up, eval_time: 0, exp_samples: [{labels: quarkpulse_up, value: 2}]}",
        ),
    ),
    "recorded series become one": (DUPLICATES, looks("{expr: same, eval_time: 0}")),
    "two rules record one series": (CLASH, looks("{expr: x, eval_time: 0, exp_samples: [{labels: x, value: 1}]}")),
    "two rules record the same": (EQUAL_CLASH, looks("{expr: x, eval_time: 0, exp_samples: [{labels: x, value: 1}]}")),
    "alerts become one": (ALERT_CLASH, looks("alert {eval_time: 0, alertname: A}")),
    "within the limit": (LIMIT, looks("alert {eval_time: 1m, alertname: A, exp_alerts: [{exp_labels: {job: x, instance: a}}]}")),
    "beyond the limit": (
        LIMIT,
        looks("alert {eval_time: 1m, alertname: A}", series=UP.replace("1x10", "0x10")),
    ),
    "a rule that fails": (FAILING, looks("{expr: up, eval_time: 1m}")),
    "a rule that gives a range": (MATRIX, looks("{expr: vector(1), eval_time: 0, exp_samples: [{labels: '{}', value: 1}]}")),
    "a rule does not see what is to come": (
        LOOK_BACK,
        looks(
            "{expr: 'count(before)', eval_time: 3m, exp_samples: [{labels: '{}', value: 2}]}",
            "{expr: 'count(after)', eval_time: 3m, exp_samples: [{labels: '{}', value: 2}]}",
        ),
    ),
    "an expression does not see what was never reached": (
        RULES,
        looks("{expr: 'up offset -1m', eval_time: 2m30s}", "{expr: 'count(up offset -30s)', eval_time: 1m50s}"),
    ),
    "broken rules": ("groups:\n- name: g\n  rules:\n  - {alert: A}\n", looks("{expr: vector(1), eval_time: 0}")),
    "rules that are no YAML": ("groups: [\n", looks("{expr: vector(1), eval_time: 0}")),
    "unknown keys in rules": ("groups:\n- {name: g, rulez: []}\n", looks()),
    "two groups of one name": ("groups:\n- name: g\n- name: g\n", looks()),
    "broken rules and no test": ("groups: [\n", "rule_files: [rules.yml]\ntests: []\n"),
    "rule files that are missing": (RULES, looks("alert {eval_time: 0, alertname: Always, exp_alerts: [{}]}", head="rule_files: [none.yml]\n")),
    "patterns of rule files": (RULES, looks("alert {eval_time: 0, alertname: Always, exp_alerts: [{}]}", head='rule_files: ["r*.y?l"]\n')),
    "a rule file twice": (RULES, looks("alert {eval_time: 0, alertname: Always, exp_alerts: [{}]}", head="rule_files: [rules.yml, './r*.yml', rules.yml]\n")),
    "a pattern that names nothing": (RULES, looks("alert {eval_time: 0, alertname: Always, exp_alerts: [{}]}", head='rule_files: ["*.rules"]\n')),
    "an empty file": (RULES, ""),
    "no tests": (RULES, "rule_files: [rules.yml]\n"),
    "a test of nothing": (RULES, "rule_files: [rules.yml]\ntests:\n- interval: 1m\n"),
    "no YAML": (RULES, "tests: [\n"),
    "an unknown key": (RULES, "testz: []\n"),
    "an unknown key in a test": (RULES, "tests:\n- {intervall: 1m}\n"),
    "an unknown key in an alert": (RULES, looks("alert {eval_time: 0, alertname: Always, exp_alerts: [{exp_label: {}}]}")),
    "a key twice": (RULES, "tests:\n- {interval: 1m, interval: 2m}\n"),
    "a list where a map belongs": (RULES, "tests: {a: 1}\n"),
    "a bad duration": (RULES, "tests:\n- {interval: fast}\n"),
    "a negative duration": (RULES, looks("{expr: up, eval_time: -1m}")),
    "evaluation interval of 30 s": (
        RULES,
        looks("{expr: 'timestamp(firing)', eval_time: 45s, exp_samples: [{labels: '{}', value: 30}]}", head="rule_files: [rules.yml]\nevaluation_interval: 30s\n"),
    ),
    "evaluation interval of a minute by default": (
        RULES,
        looks("{expr: 'timestamp(firing)', eval_time: 119s, exp_samples: [{labels: '{}', value: 60}]}"),
    ),
    "evaluation interval of zero": (
        RULES,
        looks("{expr: 'timestamp(firing)', eval_time: 119s, exp_samples: [{labels: '{}', value: 60}]}", head="rule_files: [rules.yml]\nevaluation_interval: 0s\n"),
    ),
    "no interval": (RULES, looks("{expr: x, eval_time: 3m, exp_samples: [{labels: x, value: 1}]}", series="- input_series:\n  - {series: x, values: 1 2 3}\n")),
    "a subquery's step is the evaluation interval": (
        RULES,
        looks("{expr: 'count_over_time(x[1m35s:])', eval_time: 5m, exp_samples: [{labels: '{}', value: 10}]}",
              series="- interval: 1m\n  input_series:\n  - {series: x, values: 1x9}\n", head="evaluation_interval: 10s\n"),
    ),
    "values": (
        RULES,
        values(
            "1 -2 +3 1e2 .5 5. 1E-1 0x1",
            "{expr: x, eval_time: 1m, exp_samples: [{labels: x, value: -2}]}",
            "{expr: x, eval_time: 3m, exp_samples: [{labels: x, value: 100}]}",
            "{expr: x, eval_time: 5m, exp_samples: [{labels: x, value: 5}]}",
            "{expr: x, eval_time: 8m, exp_samples: [{labels: x, value: 0}]}",
        ),
    ),
    "repeated values": (
        RULES,
        values(
            "1x2 _x2 0+10x2 5-1x2 -1-1x1 _ stale 010",
            "{expr: 'sum_over_time(x[20m])', eval_time: 12m, exp_samples: [{labels: '{}', value: 42}]}",
            "{expr: x, eval_time: 14m, exp_samples: []}",
            "{expr: x, eval_time: 15m, exp_samples: [{labels: x, value: 8}]}",
        ),
    ),
    "floats add up step by step": (RULES, values("0+0.1x10", "{expr: x, eval_time: 10m, exp_samples: [{labels: x, value: 0.9999999999999999}]}")),
    "floats are not rounded": (RULES, values("0+0.1x10", "{expr: x, eval_time: 10m, exp_samples: [{labels: x, value: 1}]}")),
    "infinite": (
        RULES,
        values(
            "Inf -Inf +inf",
            "{expr: x, eval_time: 0, exp_samples: [{labels: x, value: .inf}]}",
            "{expr: x, eval_time: 1m, exp_samples: [{labels: x, value: -.Inf}]}",
        ),
    ),
    "not a number": (RULES, values("NaN", "{expr: x, eval_time: 0, exp_samples: [{labels: x, value: .nan}]}")),
    "not a number, told otherwise": (RULES, values("NaN nan", "{expr: 'x != x', eval_time: 0, exp_samples: []}", "{expr: 'count(x)', eval_time: 1m, exp_samples: [{labels: '{}', value: 1}]}")),
    "stale": (RULES, values("1 stale", "{expr: x, eval_time: 59s, exp_samples: [{labels: x, value: 1}]}", "{expr: x, eval_time: 1m, exp_samples: []}")),
    "looking back": (RULES, values("1 _x20", "{expr: x, eval_time: 4m59s, exp_samples: [{labels: x, value: 1}]}", "{expr: x, eval_time: 5m1s, exp_samples: []}")),
    "no value": (RULES, values("")),
    "a word repeated": (RULES, values("stalex3")),
    "infinity repeated": (RULES, values("Infx3")),
    "a step without a count": (RULES, values("1+1")),
    "two steps": (RULES, values("1+1-1x3")),
    "a count of half": (RULES, values("1x2.5")),
    "a blank within": (RULES, values("1+ 1x3")),
    "a word that is no value": (RULES, values("1 two")),
    "a hexadecimal count": (RULES, values("1x0x10")),
    "a unit": (RULES, values("5m")),
    "underscores": (RULES, values("__")),
    "labels of all quotes": (
        RULES,
        looks(
            r"""{expr: '{__name__="y"}', eval_time: 0, exp_samples: [{labels: 'y{a="A", b="\\n", c="''"}', value: 1}]}""",
            series="- interval: 1m\n  input_series:\n"
            r"""  - {series: "y{a='\\x41', b=`\\n`, c='\\'',}", values: 1}""" + "\n",
            head="",
        ),
    ),
    "a name in braces": (RULES, looks("{expr: y, eval_time: 0, exp_samples: [{labels: '{__name__=\"y\"}', value: 1}]}", series="- interval: 1m\n  input_series:\n  - {series: '{__name__=\"y\"}', values: 1}\n")),
    "braces apart from the name": (RULES, looks(series="- interval: 1m\n  input_series:\n  - {series: 'y {a=\"b\"}', values: 1}\n")),
    "braces that stay open": (RULES, looks(series="- interval: 1m\n  input_series:\n  - {series: 'y{a=\"b\"', values: 1}\n")),
    "a label without quotes": (RULES, looks(series="- interval: 1m\n  input_series:\n  - {series: 'y{a=b}', values: 1}\n")),
    "a series twice counts as it stands last": (
        RULES,
        looks("{expr: y, eval_time: 1m, exp_samples: [{labels: y, value: 2}]}", series="- interval: 1m\n  input_series:\n  - {series: y, values: 1 1}\n  - {series: y, values: 2 2}\n"),
    ),
    "expected samples in any order": (
        RULES,
        looks("{expr: up, eval_time: 0, exp_samples: [{labels: 'up{job=\"x\", instance=\"b\"}', value: 1}, {labels: 'up{instance=\"a\", job=\"x\"}', value: 1}]}"),
    ),
    "a sample too few": (RULES, looks("{expr: up, eval_time: 0, exp_samples: [{labels: 'up{job=\"x\", instance=\"b\"}', value: 1}]}")),
    "expected labels that are none": (RULES, looks("{expr: up, eval_time: 0, exp_samples: [{labels: 'up{job=', value: 1}]}")),
    "expected labels that are empty": (RULES, values("1", "{expr: x, eval_time: 0, exp_samples: [{labels: '{__name__=\"x\", a=\"\"}', value: 1}]}")),
    "expected labels that are empty, with a name": (RULES, values("1", "{expr: x, eval_time: 0, exp_samples: [{labels: 'x{a=\"\"}', value: 1}]}")),
    "a scalar": (RULES, values("1", "{expr: '1 + 1', eval_time: 0, exp_samples: [{value: 2}]}", "{expr: time(), eval_time: 90s, exp_samples: [{value: 90}]}")),
    "a string": (RULES, values("1", "{expr: '\"text\"', eval_time: 0}")),
    "a range": (RULES, values("1", "{expr: 'x[5m]', eval_time: 0}")),
    "no PromQL": (RULES, values("1", "{expr: 'x +', eval_time: 0}")),
    "no expression": (RULES, values("1", "{eval_time: 0}")),
    "an expression that fails": (RULES, looks("{expr: 'up * on (job) up', eval_time: 0}")),
    "numbers as YAML writes them": (RULES, values("16", "{expr: x, eval_time: 0, exp_samples: [{labels: x, value: 0x10}]}", "{expr: x, eval_time: 0, exp_samples: [{labels: x, value: 1_6}]}", "{expr: x, eval_time: 0, exp_samples: [{labels: x, value: 020}]}")),
    "a number in quotes": (RULES, values("16", "{expr: x, eval_time: 0, exp_samples: [{labels: x, value: '16'}]}")),
    "a number that is none": (RULES, values("16", "{expr: x, eval_time: 0, exp_samples: [{labels: x, value: Inf}]}")),
    "several tests of one file": (RULES, looks("alert {eval_time: 0, alertname: Always, exp_alerts: [{}]}") + UP + "  alert_rule_test:\n  - {eval_time: 3m, alertname: Down}\n"),
    "values on several lines": (RULES, "tests:\n- interval: 1m\n  input_series:\n  - series: x\n    values: >-\n      1\n      2 3\n  promql_expr_test:\n  - {expr: x, eval_time: 2m, exp_samples: [{labels: x, value: 3}]}\n"),
    "values with a line break": (RULES, "tests:\n- interval: 1m\n  input_series:\n  - series: x\n    values: |\n      1 2\n      3\n"),
    "shared by an anchor": (RULES, "tests:\n- interval: 1m\n  input_series: &s\n  - {series: x, values: 1}\n- interval: 1m\n  input_series: *s\n  promql_expr_test:\n  - {expr: x, eval_time: 0, exp_samples: [{labels: x, value: 1}]}\n"),
}  # fmt: skip

# What Debian's promtool does not know; the verdict is Prometheus 3's.
NEWER: dict[str, tuple[str, str, bool]] = {
    "kept firing": (
        "groups:\n- name: g\n  rules:\n  - {alert: A, expr: x > 0, keep_firing_for: 2m}\n",
        values("1 0 0 0", "alert {eval_time: 2m, alertname: A, exp_alerts: [{}]}", "alert {eval_time: 3m, alertname: A}"),
        True,
    ),
    "kept firing for too long": (
        "groups:\n- name: g\n  rules:\n  - {alert: A, expr: x > 0, keep_firing_for: 2m}\n",
        values("1 0 0 0", "alert {eval_time: 3m, alertname: A, exp_alerts: [{}]}"),
        False,
    ),
    "nearly equal, taken": (RULES, "fuzzy_compare: true\n" + values("0+0.1x10", "{expr: x, eval_time: 10m, exp_samples: [{labels: x, value: 1}]}"), True),
    "not nearly equal": (RULES, "fuzzy_compare: true\n" + values("0+0.1x10", "{expr: x, eval_time: 10m, exp_samples: [{labels: x, value: 1.0001}]}"), False),
    "an offset": (
        "groups:\n- name: g\n  query_offset: 1m\n  rules:\n  - {record: y, expr: x}\n",
        values("1 2 3", "{expr: y, eval_time: 2m, exp_samples: [{labels: y, value: 2}]}", "{expr: y @ 60, eval_time: 2m, exp_samples: [{labels: y, value: 2}]}"),
        True,
    ),
    "labels of a group": (
        "groups:\n- name: g\n  labels: {team: x, sev: low}\n  rules:\n  - {alert: A, expr: x > 0, labels: {sev: high}}\n",
        values("1", "alert {eval_time: 0, alertname: A, exp_alerts: [{exp_labels: {team: x, sev: high}}]}"),
        True,
    ),
    "a start in text": (RULES, values("1", "{expr: time(), eval_time: 1m, exp_samples: [{value: 1704067260}]}").replace("- interval: 1m\n", "- interval: 1m\n  start_timestamp: 2024-01-01T00:00:00Z\n"), True),
    "a start that is none": (RULES, values("1").replace("- interval: 1m\n", "- interval: 1m\n  start_timestamp: soon\n"), False),
}  # fmt: skip
for _name in ("kept firing", "kept firing for too long", "an offset", "labels of a group"):
    NEWER[_name] = (NEWER[_name][0], "rule_files: [rules.yml]\n" + NEWER[_name][1], NEWER[_name][2])
