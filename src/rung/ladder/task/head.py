"""The guess where no rule holds."""

from __future__ import annotations

from rung.ladder.task.reading import Reading

_LEANS = {
    "format": "validation_formatting",
    "extract": "extraction",
    "classify": "classification",
    "analyse": "analysis",
    "appnoun": "prototyping",
    "codenoun": "code_generation",
    "codelang": "code_generation",
    "math": "math",
    "know": "knowledge_qa",
    "call": "function_calling",
    "writedoc": "chat_writing",
    "rewrite": "chat_writing",
    "chat": "chat_writing",
    "translate": "translation",
}


def guess(reading: Reading) -> tuple[str, float, str]:
    """Task, confidence and why, from the first idea that stands in the instruction."""
    ideas = sorted((idea for idea in reading.ideas if idea in _LEANS), key=lambda idea: reading.ideas[idea])
    if "latex" in reading.marks:
        return "math", 0.6, "latex"
    for idea in ideas:
        return _LEANS[idea], 0.4, f"first idea: {idea}"
    return "other", 0.3, "no word of the instruction is known"
