"""The inputs that led to findings, as JSON files: findings/TARGET/NAME.json."""

import base64
import hashlib
import json
from pathlib import Path

from .target import Files

FOLDER = Path(__file__).with_name("findings")


def list_stored(target: str) -> list[Path]:
    """Return the stored inputs of a target."""
    return sorted((FOLDER / target).glob("*.json"))


def load_input(path: Path) -> Files:
    """Read a stored input."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    files = {name: text.encode("utf-8") for name, text in stored.get("text", {}).items()}
    for name, coded in stored.get("base64", {}).items():
        files[name] = base64.b64decode(coded)
    return files


def store_input(target: str, files: Files, place: str) -> Path:
    """Write an input, and the place of its finding; its checksum is its name."""
    stored: dict[str, object] = {"found": place}
    texts, coded = {}, {}
    for name, content in files.items():
        try:
            texts[name] = content.decode("utf-8")
        except UnicodeDecodeError:
            coded[name] = base64.b64encode(content).decode("ascii")
    stored |= {"text": texts, "base64": coded}
    content = json.dumps({"text": texts, "base64": coded}, sort_keys=True)
    path = FOLDER / target / f"{hashlib.sha256(content.encode()).hexdigest()[:12]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    return path
