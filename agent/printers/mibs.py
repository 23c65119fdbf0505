"""What is asked of a printer, and the names of what it answers: the Printer MIB (RFC 3805), the Host Resources MIB
(RFC 2790), the IANA printer MIB. An object's number here is that of its column; a row's index follows it."""

from collections.abc import Mapping

_SYSTEM = "1.3.6.1.2.1.1"
_HOST_DEVICE = "1.3.6.1.2.1.25.3.2.1"
_HOST_PRINTER = "1.3.6.1.2.1.25.3.5.1"
_PRINTER = "1.3.6.1.2.1.43"
_ENTITY = "1.3.6.1.2.1.47.1.1.1.1"
ENTERPRISES = "1.3.6.1.4.1"

SYS_DESCR = f"{_SYSTEM}.1"
SYS_OBJECT_ID = f"{_SYSTEM}.2"
SYS_UPTIME = f"{_SYSTEM}.3"
SYS_NAME = f"{_SYSTEM}.5"
SYS_LOCATION = f"{_SYSTEM}.6"

HR_DEVICE_TYPE = f"{_HOST_DEVICE}.2"
HR_DEVICE_DESCR = f"{_HOST_DEVICE}.3"
HR_DEVICE_STATUS = f"{_HOST_DEVICE}.5"
HR_PRINTER_STATUS = f"{_HOST_PRINTER}.1"
HR_PRINTER_ERRORS = f"{_HOST_PRINTER}.2"
HR_DEVICE_PRINTER = "1.3.6.1.2.1.25.3.1.5"  # the type that says so

GENERAL_CONFIG_CHANGES = f"{_PRINTER}.5.1.1.1"
GENERAL_LOCALIZATION = f"{_PRINTER}.5.1.1.2"
GENERAL_SERIAL = f"{_PRINTER}.5.1.1.17"
GENERAL_CRITICAL_EVENTS = f"{_PRINTER}.5.1.1.18"
GENERAL_ALL_EVENTS = f"{_PRINTER}.5.1.1.19"
COVER_DESCRIPTION = f"{_PRINTER}.6.1.1.2"
COVER_STATUS = f"{_PRINTER}.6.1.1.3"
CHARACTER_SET = f"{_PRINTER}.7.1.1.4"
INPUT_UNIT = f"{_PRINTER}.8.2.1.8"
INPUT_MAX_CAPACITY = f"{_PRINTER}.8.2.1.9"
INPUT_LEVEL = f"{_PRINTER}.8.2.1.10"
INPUT_MEDIA = f"{_PRINTER}.8.2.1.12"
INPUT_NAME = f"{_PRINTER}.8.2.1.13"
INPUT_DESCRIPTION = f"{_PRINTER}.8.2.1.18"
MARKER_UNIT = f"{_PRINTER}.10.2.1.3"
MARKER_LIFE_COUNT = f"{_PRINTER}.10.2.1.4"
MARKER_POWER_ON_COUNT = f"{_PRINTER}.10.2.1.5"
SUPPLY_COLORANT = f"{_PRINTER}.11.1.1.3"
SUPPLY_CLASS = f"{_PRINTER}.11.1.1.4"
SUPPLY_TYPE = f"{_PRINTER}.11.1.1.5"
SUPPLY_DESCRIPTION = f"{_PRINTER}.11.1.1.6"
SUPPLY_UNIT = f"{_PRINTER}.11.1.1.7"
SUPPLY_MAX_CAPACITY = f"{_PRINTER}.11.1.1.8"
SUPPLY_LEVEL = f"{_PRINTER}.11.1.1.9"
COLORANT_VALUE = f"{_PRINTER}.12.1.1.4"
CONSOLE_TEXT = f"{_PRINTER}.16.5.1.2"
ALERT_SEVERITY = f"{_PRINTER}.18.1.1.2"
ALERT_GROUP = f"{_PRINTER}.18.1.1.4"
ALERT_GROUP_INDEX = f"{_PRINTER}.18.1.1.5"
ALERT_CODE = f"{_PRINTER}.18.1.1.7"
ALERT_DESCRIPTION = f"{_PRINTER}.18.1.1.8"
ALERT_TIME = f"{_PRINTER}.18.1.1.9"
ENTITY_FIRMWARE = f"{_ENTITY}.9"
ENTITY_SERIAL = f"{_ENTITY}.11"

DEVICE_STATUS: Mapping[int, str] = {1: "unknown", 2: "running", 3: "warning", 4: "testing", 5: "down"}
PRINTER_STATUS: Mapping[int, str] = {1: "other", 2: "unknown", 3: "idle", 4: "printing", 5: "warmup"}
AWAKE = (3, 4, 5)  # of hrPrinterStatus
STAND_BY = (2, 1)  # hrDeviceStatus and hrPrinterStatus, as RFC 2790 puts them together
# hrPrinterDetectedErrorState: the first is the most significant bit of the first octet.
ERROR_STATES = (
    "lowPaper",
    "noPaper",
    "lowToner",
    "noToner",
    "doorOpen",
    "jammed",
    "offline",
    "serviceRequested",
    "inputTrayMissing",
    "outputTrayMissing",
    "markerSupplyMissing",
    "outputNearFull",
    "outputFull",
    "inputTrayEmpty",
    "overduePreventMaint",
)
RECEPTACLE_CLASS = 4  # prtMarkerSuppliesClass receptacleThatIsFilled
SUPPLY_TYPES: Mapping[int, str] = dict(
    enumerate(
        (
            "other",
            "unknown",
            "toner",
            "wasteToner",
            "ink",
            "inkCartridge",
            "inkRibbon",
            "wasteInk",
            "opc",
            "developer",
            "fuserOil",
            "solidWax",
            "ribbonWax",
            "wasteWax",
            "fuser",
            "coronaWire",
            "fuserOilWick",
            "cleanerUnit",
            "fuserCleaningPad",
            "transferUnit",
            "tonerCartridge",
            "fuserOiler",
            "water",
            "wasteWater",
            "glueWaterAdditive",
            "wastePaper",
            "bindingSupply",
            "bandingSupply",
            "stitchingWire",
            "shrinkWrap",
            "paperWrap",
            "staples",
            "inserts",
            "covers",
        ),
        start=1,
    )
)
RECEPTACLE_TYPES = frozenset(name for name in SUPPLY_TYPES.values() if name.startswith("waste"))
PERCENT = "percent"
# Of supplies, of trays and of what a marker counts: one list, since no number means two things.
UNITS: Mapping[int, str] = {
    1: "other",
    2: "unknown",
    3: "tenThousandthsOfInches",
    4: "micrometers",
    5: "characters",
    6: "lines",
    7: "impressions",
    8: "sheets",
    9: "dotRow",
    11: "hours",
    12: "thousandthsOfOunces",
    13: "tenthsOfGrams",
    14: "hundrethsOfFluidOunces",  # so the standard spells it
    15: "tenthsOfMilliliters",
    16: "feet",
    17: "meters",
    18: "items",
    19: PERCENT,
}
PAGE_UNITS = frozenset({"impressions", "sheets"})
UNTOLD = (None, "other", "unknown")  # types and units that say nothing
COVER_STATES: Mapping[int, bool] = {3: True, 4: False, 5: True, 6: False}  # open, closed, interlock open, closed
SEVERITIES: Mapping[int, str] = {1: "other", 3: "critical", 4: "warning", 5: "warningBinaryChangeEvent"}
# The row of such an alert goes when its condition does; that of another may stay for ever.
BINARY_SEVERITIES = frozenset({"critical", "warningBinaryChangeEvent"})
UNARY_SEVERITY = "warning"
SUPPLIES_GROUP = "markerSupplies"
ALERT_GROUPS: Mapping[int, str] = {
    1: "other",
    3: "hostResourcesMIBStorageTable",
    4: "hostResourcesMIBDeviceTable",
    5: "generalPrinter",
    6: "cover",
    7: "localization",
    8: "input",
    9: "output",
    10: "marker",
    11: SUPPLIES_GROUP,
    12: "markerColorant",
    13: "mediaPath",
    14: "channel",
    15: "interpreter",
    16: "consoleDisplayBuffer",
    17: "consoleLights",
    18: "alert",
    30: "finDevice",
    31: "finSupply",
    32: "finSupplyMediaInput",
    33: "finAttribute",
}
ALERT_CODES: Mapping[int, str] = {
    **dict(
        enumerate(
            (
                "other",
                "unknown",
                "coverOpen",
                "coverClosed",
                "interlockOpen",
                "interlockClosed",
                "configurationChange",
                "jam",
                "subunitMissing",
                "subunitLifeAlmostOver",
                "subunitLifeOver",
                "subunitAlmostEmpty",
                "subunitEmpty",
                "subunitAlmostFull",
                "subunitFull",
                "subunitNearLimit",
                "subunitAtLimit",
                "subunitOpened",
                "subunitClosed",
                "subunitTurnedOn",
                "subunitTurnedOff",
                "subunitOffline",
                "subunitPowerSaver",
                "subunitWarmingUp",
                "subunitAdded",
                "subunitRemoved",
                "subunitResourceAdded",
                "subunitResourceRemoved",
                "subunitRecoverableFailure",
                "subunitUnrecoverableFailure",
                "subunitRecoverableStorageError",
                "subunitUnrecoverableStorageError",
                "subunitMotorFailure",
                "subunitMemoryExhausted",
                "subunitUnderTemperature",
                "subunitOverTemperature",
                "subunitTimingFailure",
                "subunitThermistorFailure",
            ),
            start=1,
        )
    ),
    501: "doorOpen",
    502: "doorClosed",
    503: "powerUp",
    504: "powerDown",
    505: "printerNMSReset",
    506: "printerManualReset",
    507: "printerReadyToPrint",
    801: "inputMediaTrayMissing",
    802: "inputMediaSizeChange",
    803: "inputMediaWeightChange",
    804: "inputMediaTypeChange",
    805: "inputMediaColorChange",
    806: "inputMediaFormPartsChange",
    807: "inputMediaSupplyLow",
    808: "inputMediaSupplyEmpty",
    809: "inputMediaChangeRequest",
    810: "inputManualInputRequest",
    811: "inputTrayPositionFailure",
    812: "inputTrayElevationFailure",
    813: "inputCannotFeedSizeSelected",
    901: "outputMediaTrayMissing",
    902: "outputMediaTrayAlmostFull",
    903: "outputMediaTrayFull",
    904: "outputMailboxSelectFailure",
    1001: "markerFuserUnderTemperature",
    1002: "markerFuserOverTemperature",
    1003: "markerFuserTimingFailure",
    1004: "markerFuserThermistorFailure",
    1005: "markerAdjustingPrintQuality",
    1101: "markerTonerEmpty",
    1102: "markerInkEmpty",
    1103: "markerPrintRibbonEmpty",
    1104: "markerTonerAlmostEmpty",
    1105: "markerInkAlmostEmpty",
    1106: "markerPrintRibbonAlmostEmpty",
    1107: "markerWasteTonerReceptacleAlmostFull",
    1108: "markerWasteInkReceptacleAlmostFull",
    1109: "markerWasteTonerReceptacleFull",
    1110: "markerWasteInkReceptacleFull",
    1111: "markerOpcLifeAlmostOver",
    1112: "markerOpcLifeOver",
    1113: "markerDeveloperAlmostEmpty",
    1114: "markerDeveloperEmpty",
    1115: "markerTonerCartridgeMissing",
    1301: "mediaPathMediaTrayMissing",
    1302: "mediaPathMediaTrayAlmostFull",
    1303: "mediaPathMediaTrayFull",
    1304: "mediaPathCannotDuplexMediaSelected",
    1501: "interpreterMemoryIncrease",
    1502: "interpreterMemoryDecrease",
    1503: "interpreterCartridgeAdded",
    1504: "interpreterCartridgeDeleted",
    1505: "interpreterResourceAdded",
    1506: "interpreterResourceDeleted",
    1507: "interpreterResourceUnavailable",
    1509: "interpreterComplexPageEncountered",
    1801: "alertRemovalOfBinaryChangeEntry",
}
# Alerts about a supply that say how far it is: the generic codes and those of the markers.
ALMOST_USED_UP = frozenset(
    {
        "subunitLifeAlmostOver",
        "subunitAlmostEmpty",
        "subunitAlmostFull",
        "subunitNearLimit",
        "markerTonerAlmostEmpty",
        "markerInkAlmostEmpty",
        "markerPrintRibbonAlmostEmpty",
        "markerWasteTonerReceptacleAlmostFull",
        "markerWasteInkReceptacleAlmostFull",
        "markerOpcLifeAlmostOver",
        "markerDeveloperAlmostEmpty",
    }
)
USED_UP = frozenset(
    {
        "subunitLifeOver",
        "subunitEmpty",
        "subunitFull",
        "subunitAtLimit",
        "markerTonerEmpty",
        "markerInkEmpty",
        "markerPrintRibbonEmpty",
        "markerWasteTonerReceptacleFull",
        "markerWasteInkReceptacleFull",
        "markerOpcLifeOver",
        "markerDeveloperEmpty",
    }
)
ASLEEP = "subunitPowerSaver"
# Character sets by their numbers at IANA, as Python calls them.
CHARSETS: Mapping[int, str] = {
    3: "ascii",
    **{number: f"iso8859-{number - 3}" for number in range(4, 14)},  # ISO 8859-1 to -10
    17: "shift_jis",
    18: "euc_jp",
    38: "euc_kr",
    106: "utf-8",
    109: "iso8859-13",
    110: "iso8859-14",
    111: "iso8859-15",
    112: "iso8859-16",
    113: "gbk",
    114: "gb18030",
    1000: "utf-16-be",
    1013: "utf-16-be",
    1014: "utf-16-le",
    1015: "utf-16",
    2004: "hp-roman8",
    2009: "cp850",
    2010: "cp852",
    2011: "cp437",
    2025: "gb2312",
    2026: "big5",
    **{number: f"cp{1250 + number - 2250}" for number in range(2250, 2259)},
}


def is_of_pages(unit: str | None) -> bool:
    """Whether a counter in this unit counts pages; most of those do that tell none, or one that there is not."""
    return unit in UNTOLD or unit in PAGE_UNITS or unit not in UNITS.values()
