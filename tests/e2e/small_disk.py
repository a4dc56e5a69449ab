"""A file system that is soon full."""
import subprocess

import pytest


@pytest.fixture
def small_disk(tmp_path):
    """A directory on a file system of 256 KiB, for anybody."""
    where = tmp_path / "disk"
    where.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o",
                           "size=256k,mode=777", "tmpfs", where],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)
    if done.returncode != 0:
        pytest.skip(f"cannot mount: {done.stdout}")
    # tarryd runs as somebody else.
    for parent in where.parents:
        if parent == tmp_path.parents[2]:
            break
        parent.chmod(0o755)
    yield where
    subprocess.run(["umount", "-l", where], check=True)


def fill(where):
    """Takes all room there is; the file to remove for room again."""
    filler = where / "filler"
    with open(filler, "wb", buffering=0) as out:
        try:
            while True:
                out.write(b"x" * 4096)
        except OSError:
            return filler
