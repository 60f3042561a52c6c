"""rung: an LLM gateway that answers every call at the lowest rung it has proved it can trust."""

__version__ = "0.1.0"
