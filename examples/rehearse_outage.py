"""What does my program see when a provider goes down? Rehearsed on this machine, with a scripted provider.

    python examples/rehearse_outage.py

The first provider answers 503 to everything, the second one works. The call moves up silently, and the record
says what happened.
"""

import asyncio
import os
import tempfile
from pathlib import Path

from rung import Gateway, config
from rung.testing import ScriptedUpstream, completion_reply, reply

TOML = """
[local]
enabled = false

[retry]
attempts = 1

[ladder]
reference = "broken:model"
fallback = ["working:model"]

[providers.broken]
base_url = "{broken}"

[providers.working]
base_url = "{working}"
"""


async def main() -> None:
    down = reply({"error": {"message": "we are having a bad day"}}, 503)
    async with ScriptedUpstream(down) as broken, ScriptedUpstream(completion_reply("Hello!")) as working:
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            (home / "rung.toml").write_text(TOML.format(broken=broken.base_url, working=working.base_url))
            settings = config.load({**os.environ, "RUNG_HOME": folder}, home / "rung.toml", cwd=home)
            async with Gateway(settings) as gateway:
                result = await gateway.chat([{"role": "user", "content": "Hi"}])
        print(result.text)
        print(result.path)


if __name__ == "__main__":
    asyncio.run(main())
