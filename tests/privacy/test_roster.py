"""The roster: every module that touches raw pictures is known, and nobody else can get at them."""

import ast
import tomllib
from pathlib import Path

import firmware

PACKAGE = Path(firmware.__file__).parent
RAW_MODULE = "firmware.core.raw"
RAW_NAMES = {"RawFrame", "DetectorPicture"}
RAW_ATTRIBUTES = {"capture", "lores", "bgr", "outlet"}
"""What gives raw pixels without naming their type."""
ROSTER = tomllib.loads((Path(__file__).parent / "roster.toml").read_text(encoding="utf-8"))["frames"]


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def touches_raw(tree: ast.AST) -> bool:
    """Tell whether a module imports the raw room, names one of its types, or imports it by string."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module == RAW_MODULE or _names_raw(node)):
            return True
        if isinstance(node, ast.Import) and any(alias.name == RAW_MODULE for alias in node.names):
            return True
        if isinstance(node, ast.Name) and node.id in RAW_NAMES:
            return True
        if isinstance(node, ast.Attribute) and node.attr in RAW_NAMES | RAW_ATTRIBUTES:
            return True
        if isinstance(node, ast.Constant) and node.value == RAW_MODULE:
            return True
    return False


def _names_raw(node: ast.ImportFrom) -> bool:
    from_core = node.module == "firmware.core" and any(alias.name == "raw" for alias in node.names)
    return from_core or any(alias.name in RAW_NAMES for alias in node.names)


def consumers() -> set[str]:
    return {
        module_name(path)
        for path in PACKAGE.rglob("*.py")
        if touches_raw(ast.parse(path.read_text(encoding="utf-8")))
    }


def test_every_consumer_of_raw_frames_is_on_the_roster() -> None:
    unknown = consumers() - ROSTER.keys()
    assert not unknown, f"touches raw pictures and is not on tests/privacy/roster.toml: {sorted(unknown)}"


def test_roster_names_no_module_that_is_gone() -> None:
    gone = ROSTER.keys() - consumers()
    assert not gone, f"on the roster and touches no raw picture any more: {sorted(gone)}"


def test_only_the_mask_makes_redacted_frames() -> None:
    makers = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("RedactedFrame"):
                makers.add(module_name(path))
    assert makers == {"firmware.pipeline.mask"}


def test_only_encode_labels_packets() -> None:
    makers = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).partition("[")[0] == "Packet":
                makers.add(module_name(path))
    assert makers == {"firmware.pipeline.encode", "firmware.pipeline.raw"}


def test_each_encoder_labels_its_own_packets_alone() -> None:
    labels = {}
    for name in ("encode", "raw"):
        tree = ast.parse((PACKAGE / "pipeline" / f"{name}.py").read_text(encoding="utf-8"))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        labels[name] = [ast.unparse(call.args[-1]) for call in calls if ast.unparse(call.func) == "Packet"]
    assert labels == {"encode": ["Redacted"], "raw": ["Raw"]}


def test_only_access_makes_grants() -> None:
    makers = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "Grant":
                makers.add(module_name(path))
    assert makers == {"firmware.access.grants"}


def test_a_new_consumer_would_be_found() -> None:
    sneaky = [
        "from firmware.core.raw import RawFrame",
        "import firmware.core.raw",
        "from firmware.core import raw",
        "from firmware.ports import RawFrame",
        "import importlib; importlib.import_module('firmware.core.raw')",
        "import firmware.core as core\ncore.raw.RawFrame",
        "async def peek(camera): return camera.capture()",
        "async def peek(flow):\n    with flow.outlet('x') as frames: return await frames.take()",
    ]
    assert [text for text in sneaky if not touches_raw(ast.parse(text))] == []
