"""Every example runs, on a machine without keys, models or network, and prints what it is there to show."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))
SHOWN = {
    "in_process.py": ['"big": 12345678901234567890', "tool (tool=answered), cost 0", "nobody could answer"],
    "openai_client.py": ["name: rung", "x-rung: tool", "x-rung-cost-usd: 0"],
    "rehearse_outage.py": ["Hello!", "cloud=failed:provider_server_error, cloud=answered"],
}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_example(example, tmp_path):
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "RUNG_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(example)], capture_output=True, text=True, env=environ, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    for shown in SHOWN[example.name]:
        assert shown in done.stdout, done.stdout
