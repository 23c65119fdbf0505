"""Random expressions: a grammar over what PromQL offers here.

Ranges, offsets and steps are multiples of 30 s, and queries stand 7 s beside such a multiple, so that neither a sample
nor a subquery's step is ever on the edge of a window: there Prometheus 2 and 3 differ.
"""

from hypothesis import strategies as st

from tests.differential.worlds import START

BESIDE = 7  # seconds

Texts = st.SearchStrategy[str]

SELECTORS = st.sampled_from(
    ("g", "k", "g", "k", 'g{a="x"}', 'g{a!="x"}', 'k{b=~"p|q"}', 'k{b!~"p"}', 'g{b=""}', '{__name__=~"g|k"}',
     'g{device_id="d0"}', 'h_bucket{le="1"}')
)  # fmt: skip
RANGES = st.sampled_from(("10m", "5m", "2m", "30m", "1m", "30s"))
# The simplest is where there are samples, and half of what is tried stands near the ends of the samples or beyond.
MOMENTS = st.sampled_from((*range(50, 80), *range(50), 80, 85, 90)).map(lambda at: START + at * 30 + BESIDE)
# For each piece the usual case, nothing, is the likeliest.
MODIFIERS = st.one_of(
    st.just(""), st.just(""), st.just(""),
    st.sampled_from((" offset 30s", " offset 5m", " offset -1m", " offset 10m", " @ start()", " @ end()")),
    MOMENTS.map(lambda at: f" @ {at}"),
    MOMENTS.map(lambda at: f" @ {at} offset 1m"),
)  # fmt: skip
NUMBERS = st.sampled_from(("0", "1", "2", "0.5", "-1", "-3.7", "10", "1e-9", "1e12", "NaN", "Inf", "-Inf"))
QUANTILES = st.sampled_from(("0", "0.5", "0.9", "0.99", "1", "-1", "2", "NaN"))
GROUPINGS = st.sampled_from(("", "by (a) ", "by (b, device_id) ", "without (b) ", "without (a, __name__) ", "by () "))

OVER_TIME = (
    "rate", "irate", "increase", "delta", "idelta", "deriv", "resets", "changes", "avg_over_time", "min_over_time",
    "max_over_time", "sum_over_time", "count_over_time", "stddev_over_time", "stdvar_over_time", "last_over_time",
    "present_over_time", "absent_over_time",
)  # fmt: skip
SIMPLE = (
    "abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "sgn", "sin", "cos", "tan", "asin", "acos", "atan",
    "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "deg", "rad", "round", "timestamp", "absent", "sort",
    "sort_desc",
)  # fmt: skip
CALENDAR = ("minute", "hour", "day_of_month", "month", "year", "day_of_week", "day_of_year", "days_in_month")
AGGREGATIONS = ("sum", "avg", "min", "max", "count", "group", "stddev", "stdvar")
ARITHMETIC = ("+", "-", "*", "/", "%", "^", "atan2")
COMPARISONS = ("==", "!=", ">", "<", ">=", "<=")


SELECTED = st.builds("{}{}".format, SELECTORS, MODIFIERS)


def ranges(inner: Texts) -> Texts:
    """Range vectors: of a selector, or a subquery."""
    plain = st.builds("{}[{}]{}".format, SELECTORS, RANGES, MODIFIERS)
    steps = st.sampled_from(("30s", "1m", "90s", ""))
    subquery = st.builds("({})[{}:{}]{}".format, inner, st.sampled_from(("2m", "5m", "10m")), steps, MODIFIERS)
    return st.one_of(plain, plain, plain, subquery)


def calls(inner: Texts) -> Texts:
    series = ranges(SELECTORS)
    return st.one_of(
        st.builds("{}({})".format, st.sampled_from(OVER_TIME), series),
        st.builds("{}({})".format, st.sampled_from(OVER_TIME), series),
        st.builds("quantile_over_time({}, {})".format, QUANTILES, series),
        st.builds("predict_linear({}, {})".format, series, st.sampled_from(("60", "3600", "-600"))),
        st.builds("{}({})".format, st.sampled_from(SIMPLE), inner),
        # Compared, so that no NaN gets through: what Go makes of it as a time is for nobody to say.
        st.builds("{}({} % 4e9 > -4e9)".format, st.sampled_from(CALENDAR), inner),
        st.builds("round({}, {})".format, inner, st.sampled_from(("5", "0.1", "100"))),
        st.builds("clamp({}, {}, {})".format, inner, NUMBERS, NUMBERS),
        st.builds("clamp_{}({}, {})".format, st.sampled_from(("min", "max")), inner, NUMBERS),
        st.builds("vector(scalar({}))".format, inner),
        st.builds("vector(time() {} {})".format, st.sampled_from(ARITHMETIC), NUMBERS),
        st.builds('label_replace({}, "{}", "$1-z", "{}", "(.*)")'.format, inner, *[st.sampled_from(("a", "c"))] * 2),
        st.builds('label_join({}, "c", "-", "a", "b")'.format, inner),
        st.builds("histogram_quantile({}, rate(h_bucket[{}]))".format, QUANTILES, RANGES),
        st.builds("histogram_quantile({}, sum by (le) (h_bucket))".format, QUANTILES),
    )


def aggregations(inner: Texts) -> Texts:
    return st.one_of(
        st.builds("{} {}({})".format, st.sampled_from(AGGREGATIONS), GROUPINGS, inner),
        st.builds("{} {}({}, {})".format, st.sampled_from(("topk", "bottomk")), GROUPINGS,
                  st.sampled_from(("0", "1", "2", "5")), inner),
        st.builds("quantile {}({}, {})".format, GROUPINGS, QUANTILES, inner),
        # Of samples alone: of a computed value the last digit would decide about the label.
        st.builds('count_values {}("v", {})'.format, GROUPINGS, SELECTED),
    )  # fmt: skip


def operations(inner: Texts) -> Texts:
    matching = st.sampled_from(("", "", "on (a, b, device_id) ", "ignoring (b) ", "on (device_id) ", "on (a) "))
    grouped = st.sampled_from(
        ("on (a) group_left ", "on (a, b) group_left (device_id) ", "ignoring (device_id) group_right ",
         "on (a, b, device_id) group_left ", "ignoring (b, __name__) group_right (b) ")
    )  # fmt: skip
    compared = st.sampled_from([f"{sign}{bool_}" for sign in COMPARISONS for bool_ in ("", " bool")])
    either = st.one_of(st.sampled_from(ARITHMETIC), compared)
    return st.one_of(
        st.builds("({} {} {})".format, inner, either, NUMBERS),
        st.builds("({} {} {})".format, NUMBERS, either, inner),
        st.builds("({} {} {}{})".format, inner, either, matching, inner),
        st.builds("({} {} {}{})".format, inner, either, grouped, inner),
        st.builds("({} {} {}{})".format, inner, st.sampled_from(("and", "or", "unless")), matching, inner),
        st.builds("(-{})".format, inner),
    )


_FLAT = st.one_of(SELECTED, calls(SELECTED))
_NESTED = st.one_of(_FLAT, calls(_FLAT), aggregations(_FLAT), operations(_FLAT))
EXPRESSIONS: Texts = st.one_of(
    calls(SELECTED),
    aggregations(_FLAT),
    operations(_FLAT),
    operations(_FLAT),
    calls(_NESTED),
    aggregations(_NESTED),
    operations(_NESTED),
    st.builds("{}({})".format, st.sampled_from(OVER_TIME), ranges(_FLAT.filter(lambda text: ":" not in text))),
)
