import pytest

from collector.desk.states import ALLOWED, LEADS_TO, TicketAction, TicketStatus, TransitionError, action_to, advance


@pytest.mark.parametrize("status", [*TicketStatus])
@pytest.mark.parametrize("action", [*TicketAction])
def test_an_action_leads_to_its_status_or_is_refused_with_what_is_allowed(
    status: TicketStatus, action: TicketAction
) -> None:
    if action in ALLOWED[status]:
        assert advance(status, action) is LEADS_TO[action]
    else:
        with pytest.raises(TransitionError, match="possible now: tickets "):
            advance(status, action)


def test_every_status_is_reached_by_one_action() -> None:
    assert [LEADS_TO[action_to(status)] for status in TicketStatus] == [*TicketStatus]


def test_a_ticket_goes_its_way() -> None:
    status = TicketStatus.NEW
    for action in ("assign", "start", "wait", "start", "resolve", "reopen", "start", "resolve", "close"):
        status = advance(status, TicketAction(action))
    assert status is TicketStatus.CLOSED
