"""Bring .venv up to one of the locked sets, `run` or `dev`, with the `relay` command in it.

    python requirements/install.py run|dev

A stamp in .venv names the state it was brought to: the lock, pyproject.toml, the folder. When it matches there is
nothing to do. Otherwise pip installs under a lock file, and a mark says that it is at work; a mark that is found
later means that it was interrupted, and .venv is made from nothing.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UNFINISHED = VENV / ".unfinished"


def main(lock: str) -> None:
    if is_current(lock):
        return
    # The lock is held on a file outside .venv, which may be made anew; the kernel frees it if we are killed.
    with (ROOT / "pyproject.toml").open() as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not is_current(lock):
            install(lock)


def is_current(lock: str) -> bool:
    stamp = VENV / f".{lock}.stamp"
    return (
        not UNFINISHED.exists()
        and os.access(PYTHON, os.X_OK)  # False too where the Python behind it has gone
        and stamp.exists()
        and stamp.read_text() == state(lock)
    )


def state(lock: str) -> str:
    """What the stamp has to say: a moved folder counts as new, since scripts in .venv hold its path."""
    digest = hashlib.sha256(os.fsencode(ROOT))
    digest.update((ROOT / "requirements" / f"{lock}.lock").read_bytes())
    digest.update((ROOT / "pyproject.toml").read_bytes())
    return digest.hexdigest()


def install(lock: str) -> None:
    print(f"Installing requirements/{lock}.lock into .venv …", flush=True)
    if UNFINISHED.exists() or not is_usable():
        run(sys.executable, "-m", "venv", "--clear", "--without-pip", VENV)
        UNFINISHED.touch()
        run(PYTHON, "-m", "ensurepip", "--default-pip", stdout=subprocess.DEVNULL)
    UNFINISHED.touch()
    for stamp in VENV.glob(".*.stamp"):
        stamp.unlink()
    pip = (PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input")
    run(*pip, "--require-hashes", "--requirement", ROOT / "requirements" / f"{lock}.lock")
    run(*pip, "--no-deps", "--no-build-isolation", "--no-index", "--editable", ROOT)
    # dev holds all of run, so that `make run` after `make test` has nothing to do.
    for done in {"run", lock}:
        (VENV / f".{done}.stamp").write_text(state(done))
    UNFINISHED.unlink()


def is_usable() -> bool:
    """Whether .venv was made here, for this folder, and its pip answers."""
    script = VENV / "bin" / "pip"
    return (
        os.access(PYTHON, os.X_OK)
        and script.exists()
        and os.fsencode(VENV) in script.read_bytes()
        and subprocess.run([PYTHON, "-m", "pip"], capture_output=True, check=False).returncode == 0
    )


def run(*command: str | Path, stdout: int | None = None) -> None:
    if subprocess.run(command, stdout=stdout, check=False).returncode != 0:
        sys.exit(
            "The set-up of .venv failed, for the reason above. Run the same command again once it is mended."
        )


if __name__ == "__main__":
    main(sys.argv[1])
