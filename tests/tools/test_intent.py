from __future__ import annotations

import pytest

from rung.tools import Intent, NotATask, Want, render, run, understand
from rung.tools.cuts import may_be_task
from rung.tools.lexicon import Lexicon, Node, vocabulary

DOC = '{"b": 1, "a": [1.0, null]}'


def asked(prompt: str, system: str = "") -> tuple[str, str]:
    task = understand(prompt, system)
    return (task.language, task.action) if isinstance(task, Intent) else ("", task.reason)


@pytest.mark.parametrize(
    ("prompt", "task"),
    [
        (f"Format this JSON: {DOC}", ("json", "format")),
        (f"```json\n{DOC}\n```\nPretty-print the above.", ("json", "format")),
        (f"{DOC}\n\nMinify this JSON, please.", ("json", "minify")),
        (f'"""\n{DOC}\n"""\nIs this valid JSON?', ("json", "validate")),
        (f"Validate this JSON:\n---\n{DOC}\n---", ("json", "validate")),
        (f"<json>{DOC}</json> Sort the keys.", ("json", "format")),
        ("Repair this JSON: {'a': 1,", ("json", "repair")),
        (f"Convertis ce JSON en YAML : {DOC}", ("json", "convert")),
        ("Lint:\n```python\nimport os\n```", ("python", "lint")),
        ("Format this SQL query: select a from t", ("sql", "format")),
        ("Is this valid YAML?\na: 1\nb: 2", ("yaml", "validate")),
        ("Format the query `select a from t where b = 1`", ("sql", "format")),
        ("Ce XML est-il bien formé ? <a><b/></a>", ("xml", "validate")),
    ],
)
def test_tasks(prompt: str, task: tuple[str, str]) -> None:
    assert asked(prompt) == task


@pytest.mark.parametrize(
    "prompt",
    [
        f"Format this JSON and translate the values: {DOC}",
        f"Is it valid and what does it say? {DOC}",
        f"Do not format this, count the keys: {DOC}",
        f"'Format this JSON' is a title. {DOC}",
        f'"Format this JSON" {DOC}',
        f"Format this JSON: {DOC} {DOC}",
        f"Format this JSON: {DOC} and then email it",
        "Format this JSON",
        "Format this JSON: hello",
        "Format this:\n```rust\nfn main() {}\n```",
        "Format this JSON:\n```python\n{}\n```",
        f"Are the keys sorted? {DOC}",
        f"Format and validate this JSON: {DOC}",
        f"Format this JSON with 2 and 4 spaces: {DOC}",
        f"Minify this JSON with 4 spaces: {DOC}",
        f"Format this JSON. Answer yes or no. {DOC}",
        "Is this valid YAML?\na: 1\n\nAlso tell me what it is for.",
        "Is this valid Python?\nx = 1\nplease explain it",
        "Check this Python code for errors:\n```python\nx = 1\n```",
        f"Format this JSON in a code block without markdown: {DOC}",
        f"Validate this JSON against the schema: {DOC}",
        "```json\n{}\n``` ```json\n{}\n``` Format this JSON",
        "Format this JSON: " + "please " * 400 + DOC,
        "",
        "?",
        "{",
    ],
)
def test_not_tasks(prompt: str) -> None:
    assert isinstance(understand(prompt), NotATask)


@pytest.mark.parametrize(
    ("system", "prompt", "task"),
    [
        ("You are a helpful assistant.", f"Format this JSON: {DOC}", ("json", "format")),
        ("You are a JSON formatter. Return only the JSON.", DOC, ("json", "format")),
        ("Tu es un formateur JSON.", DOC, ("json", "format")),
    ],
)
def test_system_prompts_that_are_understood(system: str, prompt: str, task: tuple[str, str]) -> None:
    assert asked(prompt, system) == task


@pytest.mark.parametrize(
    "system",
    [
        "Answer in pirate speak.",
        "Always translate to French.",
        "You are a JSON minifier.",
        "Never output JSON.",
        "x" * 601,
    ],
)
def test_system_prompts_that_are_not(system: str) -> None:
    assert isinstance(understand(f"Format this JSON: {DOC}", system), NotATask)


def answer(prompt: str) -> str:
    task = understand(prompt)
    assert isinstance(task, Intent), task
    return render(run(task.language, task.action, task.text, task.options), task.want, task.language)


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("Is this valid JSON? [1]", "Yes, this is valid JSON."),
        ("Is this valid JSON? Answer yes or no. [1]", "Yes."),
        (
            "Is this valid JSON? [1,]",
            "No, this is not valid JSON: trailing comma at line 1, column 3 (before line 1, column 4).",
        ),
        ("Are there any syntax errors in this JSON? [1]", "No, there is no syntax error in this JSON."),
        (
            "Are there any syntax errors in this JSON? [1 2]",
            "Yes, this JSON is not valid: expected ',' or ']' at line 1, column 4.",
        ),
        (
            "Where is the syntax error in this JSON? [1 2]",
            "This is not valid JSON: expected ',' or ']' at line 1, column 4.",
        ),
        ("Is this valid JSON? Answer with true or false. [1", "false"),
        ("Is this JSON valid? Reply valid or invalid. [1]", "valid"),
        ("Ce JSON est-il valide ? [1]", "Oui, ce JSON est valide."),
        ("Ce JSON est-il valide ? Réponds par oui ou non. [1", "Non."),
        (
            "Ce JSON est-il valide ? [1 2]",
            "Non, ce JSON n'est pas valide : « , » ou « ] » attendu, ligne 1, colonne 4.",
        ),
        ("Format this JSON in a code block: [1]", "```json\n[\n  1\n]\n```"),
        ("Minify this JSON, only the JSON: [ 1 ]", "[1]"),
        ("Format with tabs: [1]", "[\n\t1\n]"),
        ("Lint this:\n```python\nx = 1\n```", "No findings: the linter reports no issues."),
        ("Lint this:\n```python\nimport os\n```", "- line 1, column 8: F401 `os` imported but unused"),
    ],
)
def test_the_answer_obeys_the_wording(prompt: str, said: str) -> None:
    assert answer(prompt) == said


def test_a_repair_tells_its_edits_when_asked() -> None:
    said = answer('Fix this JSON and tell me what you changed: {"a": 1,}')
    assert said.startswith('{\n  "a": 1\n}\n\nChanges:\n- first fault: trailing comma')


def test_a_schema_and_its_document_are_told_apart() -> None:
    schema = '{"type": "object", "required": ["a"]}'
    said = answer(f"Validate this JSON against the schema.\nSchema: {schema}\nJSON: {{}}")
    assert said == "No, the JSON is not valid against the schema: 'a' is a required property (at $)."
    assert answer(f'JSON: {{"a": 1}}\nSchema: {schema}\nIs the JSON valid against the schema?').startswith("Yes, ")


def test_a_fence_in_a_document_gets_a_longer_fence() -> None:
    task = understand('Format this JSON in a code block:\n~~~\n["```"]\n~~~')
    assert isinstance(task, Intent)
    said = render(run("json", "format", task.text), Want(fence=True), "json")
    assert said.startswith("````json\n")


@pytest.mark.parametrize(
    "text", ["What is the capital of Peru?", "Write a poem", "x" * 100_000, "1" * 100_000, "\n" * 100_000]
)
def test_the_gate_lets_ordinary_messages_go(text: str) -> None:
    assert not may_be_task(text) or isinstance(understand(text), NotATask)


def test_every_phrase_is_written_as_words_are_read() -> None:
    lexicon = Lexicon()
    for number, phrase in enumerate(("{a,b}{, c} d", "x{ {y,z},}", "wrap{ped,} # {times,}", "{in,}valid")):
        lexicon.add(phrase, ("phrase", str(number)))

    def says(text: str) -> list[str]:
        node: Node | None = lexicon.root()
        for word in text.split():
            node = node.get(word) if node is not None else None
        return [value for (_, value), _ in node.leaf] if node is not None else []

    for text in ("a d", "a c d", "b d", "b c d"):
        assert says(text) == ["0"]
    assert [says(text) for text in ("x", "x y", "x z")] == [["1"]] * 3
    assert [says(text) for text in ("wrap #", "wrapped # times")] == [["2"]] * 2
    assert [says(text) for text in ("valid", "invalid")] == [["3"]] * 2
    assert [says(text) for text in ("", "a", "a b d", "wrap", "ped #", "a d d")] == [[]] * 6
    assert lexicon.words() >= {"wrap", "wrapped", "invalid", "d"}
    assert len(vocabulary()) > 500


TASKS = (
    "Format this JSON",
    "Minify this JSON",
    "Is this valid JSON",
    "Repair this JSON",
    "Convert this JSON to YAML",
    "Formate ce JSON",
    "Ce JSON est-il valide",
    "Convertis ce JSON en YAML",
)
DEMANDS = (
    "and translate it",
    "and count the keys",
    "and rename a to b",
    "and write a test",
    "with comments",
    "without the items",
    "in reverse order",
    "for a child",
    "for production use",
    "so that it has an id",
    "because it is wrong and tell me why",
    "from the last item",
    "from a design point of view",
    "against our API",
    "unless it is empty",
    "but keep arrays on one line",
    "et traduis-le",
    "et compte les clés",
    "et les clés",
    "sans les items",
    "pour mon chef",
    "puis explique",
)


@pytest.mark.parametrize("task", TASKS)
def test_no_second_demand_is_lost_among_words_that_may_be_any(task: str) -> None:
    text = '{"a": 1, "items": [1, 2]}'
    for demand in DEMANDS:
        for message in (f"{task} {demand}:\n{text}", f"{task}, {demand}.\n{text}", f"{task}: {text} {demand}"):
            assert isinstance(understand(message), NotATask), message


@pytest.mark.parametrize(
    ("message", "action"),
    [
        ("Format this minified JSON", "format"),
        ("Please pretty print this single-line JSON", "format"),
        ("Expand this compact JSON", "format"),
        ("Formate ce JSON minifié", "format"),
        ("Minify this pretty-printed JSON", "minify"),
        ("Minifie ce JSON formaté", "minify"),
        ("Format this JSON on one line", "minify"),
        ("Formate ce JSON sur une ligne", "minify"),
        ("Turn this minified JSON into formatted JSON", "format"),
        ("Convert this formatted JSON to minified JSON", "minify"),
        ("It is all on one line, make this JSON readable", "format"),
    ],
)
def test_the_form_a_payload_has_is_not_the_form_it_shall_have(message: str, action: str) -> None:
    task = understand(message + ': {"a": 1}')
    assert isinstance(task, Intent), task
    assert task.action == action


@pytest.mark.parametrize(
    "message",
    [
        "I pulled this JSON from our billing service. Format it",
        "My build tool rejects this JSON, fix it",
        "I'm preparing slides and need this JSON formatted",
        "Format this JSON so I can paste it in a ticket",
        "Plaese formt this josn",
        "Im getting a parse error, fix this JSON",
    ],
)
def test_words_around_a_task_may_be_any(message: str) -> None:
    payload = '{"a": 1,}' if "fix" in message else '{"a": 1}'
    assert isinstance(understand(f"{message}: {payload}"), Intent)


@pytest.mark.parametrize(
    "demand",
    [
        "I need it in snake case.",
        "I need it as a table.",
        "We want it in euros.",
        "I want this with totals.",
        "I need it in plain English.",
        "I want it in reverse.",
        "It goes by date.",
        "It will be stored in reverse order.",
        "We are using four spaces.",
        "I'm using tabs.",
        "J'en ai besoin pour un tableau.",
    ],
)
def test_what_somebody_needs_is_not_said_in_passing(demand: str) -> None:
    assert isinstance(understand(f'Format this JSON. {demand}\n{{"a": 1}}'), NotATask)


@pytest.mark.parametrize(
    "purpose",
    [
        "so I can see it sorted by price",
        "so that the prices can be read in euros",
        "so we can have single quotes",
        "because the total must have two decimals",
        "because we want the items grouped",
        "to show it as a tree",
        "to share it as a table",
        "and I will include it with totals",
        "pour que ça soit en français",
        "pour le lire plus court",
        "parce que le total doit avoir deux décimales",
    ],
)
def test_a_purpose_that_asks_for_more_is_no_purpose(purpose: str) -> None:
    task = "Formate ce JSON" if purpose.startswith(("pour", "parce")) else "Format this JSON"
    assert isinstance(understand(f'{task} {purpose}.\n{{"a": 1}}'), NotATask)


@pytest.mark.parametrize(
    "message",
    [
        "Fix this JSON",
        "My boss rejects this. Fix this JSON",
        "Our schema validator rejects this. Fix this JSON",
        "Spot the error in this JSON",
        "What's wrong with this JSON?",
        "Corrige ce JSON",
    ],
)
def test_a_fault_that_the_syntax_does_not_have_is_not_ours(message: str) -> None:
    assert isinstance(understand(message + '\n{"a": 1,}'), Intent) or "schema" in message
    assert isinstance(understand(message + '\n{"a": 1}'), NotATask)


@pytest.mark.parametrize(
    "message",
    [
        "Format this JSON for an environment variable",
        "Format this JSON for a shell script",
        "Format this JSON as a log line",
        "Format this JSON with headers",
        "Format this JSON with one object per line",
        "Convert this JSON to readable text",
        "Convert this JSON to compact YAML",
        "Convert this JSON to YAML with 8 spaces",
        "Convert this JSON to YAML. I want it in one line",
    ],
)
def test_a_form_we_do_not_write_is_declined(message: str) -> None:
    assert isinstance(understand(message + ':\n{"a": {"b": 1}}'), NotATask)


@pytest.mark.parametrize(
    ("message", "payload"),
    [
        ("Convert this CSV to a JSON object:", "```csv\na,b\n1,2\n```"),
        ("Convertis ce CSV en JSON, une ligne par objet :", "```csv\na,b\n1,2\n```"),
        ("Is this a valid service?", "```yaml\nservice:\n  name: x\n```"),
        ("Lint this Python with pylint:", "```python\nimport os\n```"),
        ("Is this JSON valid? It goes to the tax office.", "{}"),
        ("Is this JSON valid? It is for Stripe.", "{}"),
        ("Validate this JSON because our tax office is strict:", "{}"),
        ("Format this JSON to put it into words:", "{}"),
        ("Does this Python compile to C?", "```python\nx = 1\n```"),
    ],
)
def test_what_a_document_is_or_becomes_is_more_than_its_syntax(message: str, payload: str) -> None:
    assert isinstance(understand(f"{message}\n{payload}"), NotATask)


def test_yaml_is_indented_as_asked_where_it_is_not_converted() -> None:
    task = understand("Format this YAML with 4 spaces:\n```yaml\na:\n  b: 1\n```")
    assert isinstance(task, Intent)
    assert task.options.indent == "    "


def test_json_is_no_english_word() -> None:
    task = understand('Contrôle ce JSON : {"a": 1}')
    assert isinstance(task, Intent)
    assert task.want.lang == "fr"


def test_a_line_of_yaml_or_csv_is_not_read_as_instruction() -> None:
    yaml = understand('Turn this YAML into JSON please\nversion: "3"\nservices:\n  db: 1')
    assert isinstance(yaml, Intent)
    assert yaml.text.startswith("version:")
    csv = understand("Convert this CSV to JSON:\nkey,value\na,b")
    assert isinstance(csv, Intent)
    assert csv.text.startswith("key,value")


def test_a_system_prompt_may_be_the_whole_instruction() -> None:
    system = "You convert YAML to JSON. Output only the JSON."
    task = understand("a: 1\nb: 2", system)
    assert isinstance(task, Intent)
    assert (task.language, task.action, task.options.to) == ("yaml", "convert", "json")
    assert isinstance(understand("Hello, how are you?", system), NotATask)


@pytest.mark.parametrize(
    "message",
    [
        "```" * 3_000,
        "foo bar baz qux\n" * 1_000,
        "Format this SQL:\n" + "foo bar baz qux\n" * 1_000,
        "Format this JSON and count: " + "{" * 20_000,
        "format json " * 120,
        "so that i can " + "foo " * 300,
    ],
)
def test_hostile_messages_are_cut_in_linear_time(message: str) -> None:
    # No timing is asserted: the quadratic readings of these took seconds, and would be noticed.
    for system in ("", "You convert YAML to JSON."):
        assert isinstance(understand(message, system), NotATask) or "SQL" in message
