"""How much of a window may be read: rows and bytes, by the model file and by the settings of who reads."""

import pyarrow as pa

from shipway.contract.errors import InvalidField
from shipway.contract.spec import ModelSpec
from shipway.runtime.settings import DataSettings


class Room:
    """How much of a window may still be taken."""

    def __init__(self, spec: ModelSpec, allowed: DataSettings) -> None:
        self._spec = spec.data.max_rows <= allowed.max_rows
        self._most_rows = min(spec.data.max_rows, allowed.max_rows)
        self._most_bytes = allowed.max_bytes
        self._rows = self._bytes = 0

    def check_rows(self, rows: int) -> None:
        """Holds that so many more rows may be taken."""
        if self._rows + rows > self._most_rows:
            raise InvalidField(
                "data.max_rows",
                f"the window holds more than {self._most_rows} rows;"
                + (" raise it or narrow the window" if self._spec else more("max_rows", "narrow the window")),
            )

    def take(self, batch: pa.RecordBatch | pa.Table) -> None:
        """Takes rows."""
        self.check_rows(batch.num_rows)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._bytes > self._most_bytes:
            problem = f"the window holds more than {self._most_bytes} bytes, decoded;"
            raise InvalidField("data.source", problem + more("max_bytes", "narrow the window"))


def more(setting: str, otherwise: str) -> str:
    """The remedy where a limit is reached: do otherwise, or raise the setting."""
    return f" {otherwise}, or raise SHIPWAY__DATA__{setting.upper()} of trainer and evaluator"
