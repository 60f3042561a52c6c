"""The words of an answer: a result, in the wording and the language the call asked for."""

from __future__ import annotations

from dataclasses import dataclass

from rung.tools.result import Finding, Result

NAMES = {"json": "JSON", "python": "Python", "sql": "SQL", "xml": "XML", "yaml": "YAML", "toml": "TOML", "csv": "CSV"}
FENCE_NAMES = {"text": ""}


@dataclass(frozen=True, slots=True)
class Want:
    """How the answer is to be worded.

    `asks`: what a verdict answers: ``valid`` (is it valid?), ``errors`` (are there errors?), ``schema``.
    `yesno`: nothing but yes or no. `where`: the place was asked for. `tell`: a repair's edits were asked for.
    """

    lang: str = "en"
    fence: bool = False
    yesno: bool = False
    words: tuple[str, str] = ("", "")
    """the two words to answer a verdict with (``valid``, ``invalid``), instead of a sentence"""
    where: bool = False
    tell: bool = False
    asks: str = "valid"
    located: bool = False
    """``where is the error?``: no yes or no is asked for, only the finding"""


def render(result: Result, want: Want, language: str) -> str:
    """The answer's text. A document is returned bare unless a fence was asked for."""
    if result.ok is None:
        return _document(result, want)
    if want.asks == "lint":
        return _findings(result, want, language)
    return _verdict(result, want, language)


def _document(result: Result, want: Want) -> str:
    text = result.text
    if want.fence:
        mark = "```"
        while mark in text:
            mark += "`"
        text = f"{mark}{FENCE_NAMES.get(result.language, result.language)}\n{text}\n{mark}"
    if want.tell:
        none = "Nothing had to be changed." if want.lang == "en" else "Rien n'a dû être modifié."
        head = "Changes:" if want.lang == "en" else "Modifications :"
        told = "\n".join(f"- {edit}" for edit in result.edits)
        text += "\n\n" + (f"{head}\n{told}" if told else none)
    return text


def _verdict(result: Result, want: Want, language: str) -> str:
    yes, no = ("Yes", "No") if want.lang == "en" else ("Oui", "Non")
    good = bool(result.ok)
    if want.words[0]:
        return want.words[0] if good else want.words[1]
    said = yes if good != (want.asks == "errors") else no
    if want.yesno and not (want.where and not good):
        return f"{said}."
    sentence = _sentence(good, want, NAMES[language])
    if want.located:
        said, sentence = "", sentence[:1].upper() + sentence[1:]
    else:
        said += ", "
    if good:
        notes = "".join(f" ({_message(note, want.lang)})" for note in result.findings)
        return f"{said}{sentence}{notes}."
    colon = ": " if want.lang == "en" else " : "
    told = [describe(finding, want.lang) for finding in result.findings]
    if len(told) == 1:
        return f"{said}{sentence}{colon}{told[0]}."
    return f"{said}{sentence}{colon}\n" + "\n".join(f"- {one}" for one in told)


def _sentence(good: bool, want: Want, name: str) -> str:
    english = want.lang == "en"
    if want.asks == "schema":
        if english:
            return "the JSON is valid against the schema" if good else "the JSON is not valid against the schema"
        return "le JSON est conforme au schéma" if good else "le JSON n'est pas conforme au schéma"
    if want.asks == "errors":
        if english:
            return f"there is no syntax error in this {name}" if good else f"this {name} is not valid"
        return f"il n'y a pas d'erreur de syntaxe dans ce {name}" if good else f"ce {name} n'est pas valide"
    if english:
        return f"this is valid {name}" if good else f"this is not valid {name}"
    return f"ce {name} est valide" if good else f"ce {name} n'est pas valide"


def _message(finding: Finding, lang: str) -> str:
    return finding.fr if lang == "fr" and finding.fr else finding.message


def describe(finding: Finding, lang: str = "en") -> str:
    """One finding as a line of prose, with its place."""
    code = f"{finding.code} " if finding.code[:1].isupper() else ""
    text = code + _message(finding, lang)
    if not finding.line:
        return text
    at, column, before = ("at line", "column", "before line") if lang == "en" else ("ligne", "colonne", "avant ligne")
    where = f"{at} {finding.line}, {column} {finding.column}"
    if finding.end_line:
        where += f" ({before} {finding.end_line}, {column} {finding.end_column})"
    return f"{text}, {where}" if lang == "fr" else f"{text} {where}"


def _findings(result: Result, want: Want, language: str) -> str:
    if want.yesno:
        none, some = ("No.", "Yes.") if want.lang == "en" else ("Non.", "Oui.")
        return some if result.findings else none
    if not result.findings:
        return (
            "No findings: the linter reports no issues."
            if want.lang == "en"
            else "Aucun problème trouvé par le linter."
        )
    line = "line" if want.lang == "en" else "ligne"
    column = "column" if want.lang == "en" else "colonne"
    return "\n".join(f"- {line} {f.line}, {column} {f.column}: {f.code} {f.message}" for f in result.findings)
