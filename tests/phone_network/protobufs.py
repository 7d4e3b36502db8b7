# ruff: noqa: N816 - the names are those of the protocol's own packages
"""The library's protobufs without the library: importing `neonize` itself would load 70 MB of native code.

The generated modules know each other by their folders' names (`waE2E.…_pb2`), so the folder that holds them goes on the
path, as neonize does itself; both may live in one process.
"""

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

_package = find_spec("neonize")
if _package is None or _package.origin is None:
    raise ImportError("neonize is not installed: run `make setup-dev`")
_folder = str(Path(_package.origin).parent / "proto")
if _folder not in sys.path:
    sys.path.append(_folder)

waAdv = import_module("waAdv.WAAdv_pb2")
waCert = import_module("waCert.WACert_pb2")
waCommon = import_module("waCommon.WACommon_pb2")
waCompanionReg = import_module("waCompanionReg.WACompanionReg_pb2")
waE2E = import_module("waE2E.WAWebProtobufsE2E_pb2")
waHistorySync = import_module("waHistorySync.WAWebProtobufsHistorySync_pb2")
waMmsRetry = import_module("waMmsRetry.WAMmsRetry_pb2")
waServerSync = import_module("waServerSync.WAWebProtobufsServerSync_pb2")
waSyncAction = import_module("waSyncAction.WAWebProtobufSyncAction_pb2")
waVnameCert = import_module("waVnameCert.WAWebProtobufsVnameCert_pb2")
waWa6 = import_module("waWa6.WAWebProtobufsWa6_pb2")
waWeb = import_module("waWeb.WAWebProtobufsWeb_pb2")
