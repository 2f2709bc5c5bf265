"""What a run of the suite found on a bench, as a file: machine, versions, date, figures."""

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


class Results:
    """Figures of one run; written to the folder VEILCAM_RESULTS names, or nowhere."""

    def __init__(self, env: str, features: list[str]) -> None:
        self._name = Path(env).stem
        self._told: dict[str, object] = {"bench": self._name, "features": features, "figures": {}}

    def about(self, **told: str) -> None:
        """Note what was tested: board, versions."""
        self._told.update(told)

    def figure(self, name: str, value: float, unit: str) -> None:
        """Note something that was measured."""
        figures = self._told["figures"]
        assert isinstance(figures, dict)
        today = datetime.now(UTC).date().isoformat()
        figures[name] = {"value": round(value, 3), "unit": unit, "date": today}

    def write(self, failed: int) -> None:
        """Write the file; its date is that of the run."""
        folder = os.environ.get("VEILCAM_RESULTS")
        if not folder:
            return
        told: dict[str, Any] = {
            **self._told,
            "date": datetime.now(UTC).date().isoformat(),
            "rig": f"{platform.machine()} {platform.system()}",
            "failed": failed,
        }
        Path(folder).mkdir(parents=True, exist_ok=True)
        path = Path(folder) / f"{self._name}.json"
        if path.exists():  # a run of one file leaves what the others found
            before = json.loads(path.read_text(encoding="utf-8"))
            told = {**before, **told, "figures": {**before["figures"], **told["figures"]}}
        path.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", encoding="utf-8")
