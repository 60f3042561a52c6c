"""The gateway inside your own program: no server, the same ladder, the same records.

python examples/in_process.py
"""

from rung import LadderExhausted, SyncGateway

QUESTIONS = [
    'Format this JSON: {"price": 1.10, "big": 12345678901234567890}',
    "Is this valid JSON? [1, 2,]",
    "Write a poem about the sea.",
]


def main() -> None:
    with SyncGateway() as gateway:
        for question in QUESTIONS:
            try:
                result = gateway.chat([{"role": "user", "content": question}])
            except LadderExhausted as nobody:
                print(f"{question}\n  nobody could answer: {nobody.message}\n")
                continue
            print(f"{question}\n  {result.rung} ({result.path}), cost {result.cost}\n{result.text}\n")


if __name__ == "__main__":
    main()
