"""Making the cluster once: initdb in a folder beside, then a rename, so that half a cluster never bears the name of one."""

import asyncio
import os
import shutil
import sys
import tempfile
from pathlib import Path

from relay.store.embedded_account import (
    POSTGRES_MAJOR,
    Account,
    EmbeddedPostgresError,
    hand_over,
    start_program,
)
from relay.store.embedded_folder import ServerLog


def has_cluster(cluster: Path) -> bool:
    """Whether there is one; EmbeddedPostgresError if it is not for our programs."""
    if not cluster.exists() or not any(cluster.iterdir()):
        return False
    file = cluster / "PG_VERSION"
    version = file.read_text(encoding="ascii").strip() if file.exists() else "of an unknown version"
    if version != str(POSTGRES_MAJOR):
        raise EmbeddedPostgresError(
            f"{cluster} holds a database of PostgreSQL {version}, and this Relay brings {POSTGRES_MAJOR}. "
            "Move it with pg_dump and pg_restore, or start the Relay that made it."
        )
    return True


async def make_cluster(
    cluster: Path, *, account: Account, programs: Path, password: str, log: ServerLog
) -> None:
    draft = cluster.with_name(f"{cluster.name}.draft")
    await asyncio.to_thread(shutil.rmtree, draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    hand_over(draft, account)
    with tempfile.NamedTemporaryFile(delete=sys.platform != "win32") as words:
        # The account may not read our password file; it may read its standard input, once that is its own.
        words.write(f"{password}\n".encode())
        words.seek(0)
        if account.kind == "switch":
            os.fchown(words.fileno(), *account.owner)
        source = words.name if sys.platform == "win32" else "/dev/stdin"
        command = [
            str(programs / "initdb"), "-D", account.name_folder(draft), "--username=relay", "--auth=scram-sha-256",
            f"--pwfile={source}", "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
            "--locale=C", "--data-checksums", "--no-instructions",
        ]  # fmt: skip
        with log.open() as output:
            process = await start_program(account, command, folder=draft, stdin=words.fileno(), output=output)
        try:
            code = await process.wait()
        finally:
            if process.returncode is None:  # we were told to stop
                process.terminate()
                await process.wait()
        if code != 0:
            raise EmbeddedPostgresError(log.tell("PostgreSQL could not make its database"))
    draft.rename(cluster)
    _sync_folder(cluster.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename in it durable."""
    if sys.platform != "win32":
        fd = os.open(folder, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
