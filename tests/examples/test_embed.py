"""The embedding example of the README does what it says."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "embed.py"


@pytest.mark.machine
@pytest.mark.index
def test_master_and_slave_embed_in_another_program(image, machine_home: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), "six==1.17.0"],
        env={
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTI_HOME": str(machine_home),
            "PYTI_STORE__URL": f"sqlite+aiosqlite:///{tmp_path}/pyti.sqlite",
            "PYTI_STORE__BLOBS": str(tmp_path / "blobs"),
            "PYTI_SLAVE__NAME": f"embed-{tmp_path.name[-8:].strip('-_').lower().replace('_', '-')}",
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "import" in done.stdout
    assert "malice: none_found" in done.stdout
