"""What a role's process loads, for it stays in memory."""

import subprocess
import sys
from typing import get_args

import pytest

from relay.config import Role

_TERMINALS = ("rich", "pygments")


@pytest.mark.parametrize("role", get_args(Role))
def test_no_process_loads_libraries_for_terminals(role: str) -> None:
    """The library httpx would bring them along, wherever it is imported first."""
    code = f"import sys, relay.roles.{role}; print([name for name in {_TERMINALS!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
