"""The demo shows what it says, and says that it is simulated."""

import re
import subprocess
import sys


def test_the_demo(tmp_path):
    command = [sys.executable, "-W", "error", "-m", "rung", "demo"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={"HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    program, climb, warm, hedge, outage = done.stdout.splitlines()
    assert "tool=answered; tool, 0 USD" in program
    assert "[simulated]" not in program
    assert re.search(r"cloud=answered; groq:.* [\d.]+ USD \[simulated\]$", climb)
    assert re.search(r"; \d+ of \d+ prompt tokens were cached \[simulated\]$", warm)
    assert "cloud=cancelled:hedge_lost, cloud=answered" in hedge
    assert "unknown USD" in hedge  # the loser may have cost something, and nobody says what
    assert "cloud=failed:provider_server_error, cloud=answered; deepseek:" in outage
