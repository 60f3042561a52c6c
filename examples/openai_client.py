"""The official client against a gateway on a free port, with what happened read from the response headers.

pip install openai
python examples/openai_client.py
"""

import asyncio

from openai import AsyncOpenAI

from rung import Gateway
from rung.doors.app import App
from rung.doors.server import running


async def main() -> None:
    async with Gateway() as gateway, running(App(gateway)) as url:
        async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as client:
            answer = await client.chat.completions.with_raw_response.create(
                model="auto",
                messages=[{"role": "user", "content": 'Convert this JSON to YAML: {"name": "rung", "steps": [1, 2]}'}],
            )
        print(answer.parse().choices[0].message.content)
        for name in ("x-rung", "x-rung-climb", "x-rung-cost-usd"):
            print(f"{name}: {answer.headers[name]}")


if __name__ == "__main__":
    asyncio.run(main())
