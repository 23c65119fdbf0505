"""The process that Windows starts as the service: `python -m agent.service.windows_host STATE`.

The agent itself runs in the thread that pywin32 gives the service; what it logs goes to the event log.
"""

import logging
import os
import sys
from pathlib import Path

from agent.runner import RunOptions, run
from agent.service.windows import ERROR, INFORMATION, NAME, WARNING
from agent.wakeup import Wakeup

STOP_HINT_MILLISECONDS = 20_000
SUSPENDS = 4  # PBT_APMSUSPEND
RESUMES = (7, 18)  # PBT_APMRESUMESUSPEND, when somebody is there; PBT_APMRESUMEAUTOMATIC, always
EVENT_ID = 1  # EventCreate.exe, which explains our events, knows 1 to 1000


def event_type(level: int) -> int:
    """The event log's word for a level of logging."""
    if level >= logging.ERROR:
        return ERROR
    return WARNING if level >= logging.WARNING else INFORMATION


def on_power(event: int, wakeup: Wakeup) -> None:
    """What the service manager says of sleep. The clocks tell how long it was; here it is only looked at at once."""
    if event == SUSPENDS:
        wakeup.announce_sleep()
    elif event in RESUMES:
        wakeup.wake()


if sys.platform == "win32":
    import servicemanager
    import win32evtlogutil
    import win32service
    import win32serviceutil

    class EventLogHandler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                win32evtlogutil.ReportEvent(
                    NAME, EVENT_ID, eventType=event_type(record.levelno), strings=[self.format(record)]
                )
            except Exception:  # noqa: BLE001 - as all handlers: a log that takes nothing is no reason to stop
                self.handleError(record)

    class AgentService(win32serviceutil.ServiceFramework):
        _svc_name_ = NAME
        state = Path()

        def __init__(self, arguments: list[str]) -> None:
            super().__init__(arguments)
            self._wakeup = Wakeup()

        def GetAcceptedControls(self) -> int:  # noqa: N802 - pywin32's name
            accepted: int = super().GetAcceptedControls()
            return accepted | win32service.SERVICE_ACCEPT_SHUTDOWN | win32service.SERVICE_ACCEPT_POWEREVENT

        def SvcStop(self) -> None:  # noqa: N802 - pywin32's name
            self._stop(is_shutdown=False)

        def SvcShutdown(self) -> None:  # noqa: N802 - pywin32's name
            self._stop(is_shutdown=True)

        def SvcOtherEx(self, control: int, event: int, data: object) -> None:  # noqa: N802 - pywin32's name
            if control == win32service.SERVICE_CONTROL_POWEREVENT:
                on_power(event, self._wakeup)

        def SvcDoRun(self) -> None:  # noqa: N802 - pywin32's name
            exit_code = run(RunOptions(self.state), wakeup=self._wakeup)
            if exit_code != 0:
                # Gone without a word is what the recovery actions look for.
                os._exit(exit_code)

        def _stop(self, *, is_shutdown: bool) -> None:
            self.ReportServiceStatus(win32service.SERVICE_STOP_PENDING, STOP_HINT_MILLISECONDS)
            self._wakeup.stop(is_shutdown=is_shutdown)

    def main(arguments: list[str]) -> None:
        """Becomes the service; returns when it has stopped."""
        logging.basicConfig(handlers=[EventLogHandler()], level=logging.INFO, format="%(name)s: %(message)s")
        AgentService.state = Path(arguments[0])
        servicemanager.Initialize()
        servicemanager.PrepareToHostSingle(AgentService)
        servicemanager.StartServiceCtrlDispatcher()

    if __name__ == "__main__":
        main(sys.argv[1:])
