"""What came over SNMP, by column and index, as the library gives it: not yet believed."""

from typing import TypeAlias

Value: TypeAlias = object  # int, bytes, str, float or nothing: what the device says it is
Index: TypeAlias = tuple[int, ...]
MAX_NUMBER = 1 << 53
MAX_DIGITS = 12


class Rows:
    """Columns of rows. A table need not be a rectangle: any cell may be missing."""

    def __init__(self) -> None:
        self._columns: dict[str, dict[Index, Value]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._columns.values()))

    def add(self, column: str, index: Index, value: Value) -> None:
        self._columns.setdefault(column, {})[index] = value

    def add_object(self, oid: str, columns: tuple[str, ...], value: Value) -> bool:
        """One that belongs to one of these columns; what belongs to none is left out, and told by False."""
        for column in columns:
            index = parse_index(oid, column)
            if index is not None:
                self.add(column, index, value)
                return True
        return False

    def has(self, column: str) -> bool:
        return bool(self._columns.get(column))

    def update(self, other: "Rows") -> None:
        """Columns that are there replace those of the same name."""
        self._columns |= other._columns

    def only(self, columns: tuple[str, ...]) -> "Rows":
        found = Rows()
        found._columns = {column: self._columns[column] for column in columns if column in self._columns}
        return found

    def indices(self, *columns: str) -> list[Index]:
        """Of all rows that have a cell in any of these columns, in the order of the indices."""
        return sorted({index for column in columns for index in self._columns.get(column, {})})

    def get(self, column: str, index: Index) -> Value:
        return self._columns.get(column, {}).get(index)

    def number(self, column: str, index: Index) -> int | None:
        return to_number(self.get(column, index))

    def first(self, column: str) -> Value:
        """Of the row with the lowest index that is not empty."""
        cells = self._columns.get(column, {})
        return next((cells[index] for index in sorted(cells) if cells[index] not in (None, b"", "")), None)


def parse_index(oid: str, column: str) -> Index | None:
    """What follows the column in an object's number; None if it does not begin with the column."""
    if not oid.startswith(f"{column}."):
        return None
    parts = oid[len(column) + 1 :].split(".")
    return tuple(map(int, parts)) if all(part.isdecimal() and len(part) <= MAX_DIGITS for part in parts) else None


def to_number(value: Value) -> int | None:
    """A whole number, also where a broken agent sends it as text."""
    if isinstance(value, bytes) and 0 < len(value) <= MAX_DIGITS:
        try:
            value = int(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MAX_NUMBER:
        return None
    return value
