"""neonize's protobufs, without neonize's Python client.

`import neonize` loads an HTTP client, an HTML parser, an image library and libmagic: 50 MB in every engine process,
for helpers that we do not call. Its generated modules stand in a folder of their own and import each other as
top-level modules; that folder alone goes on the path.
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from relay.model.errors import NotSupported


def find_neonize() -> Path:
    """The installed package's folder. Raises NotSupported where it is missing."""
    spec = importlib.util.find_spec("neonize")
    if spec is None or not spec.submodule_search_locations:
        raise NotSupported("The package neonize is not installed.")
    return Path(next(iter(spec.submodule_search_locations)))


def _load(name: str) -> Any:
    folder = str(find_neonize() / "proto")
    if folder not in sys.path:
        # Last: its module names must never hide anybody else's.
        sys.path.append(folder)
    return importlib.import_module(name)


neonize: Any = _load("Neonize_pb2")
"""Events, and the arguments and answers of the library's calls."""
e2e: Any = _load("waE2E.WAWebProtobufsE2E_pb2")
"""Messages as people's devices encrypt them to each other."""
companion: Any = _load("waCompanionReg.WACompanionReg_pb2")
"""How a linked device describes itself."""
history: Any = _load("waHistorySync.WAWebProtobufsHistorySync_pb2")
web: Any = _load("waWeb.WAWebProtobufsWeb_pb2")
