"""Places in long lists."""

from collector.api.desk.paging import PagingByName, cut


def test_the_longest_name_leads_to_the_next_page() -> None:
    longest = "site " + "é" * 64 + "/" + "é" * 64 + " " + "k" * 128
    _, cursor = cut([1, 2], 1, lambda _: longest)
    assert PagingByName(cursor=cursor).after == longest
