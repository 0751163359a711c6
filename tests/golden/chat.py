#!/usr/bin/env python3
"""Records what Python's jinja2 makes of conversations with the chat templates of real models.

    pip install jinja2
    chat.py TEMPLATES        # a folder of .jinja files; writes chat.json beside this script

The templates belong to others, and so do the texts that they write: chat.json keeps our conversations, and of each
rendering a hash.
"""
import datetime
import json
import sys
from pathlib import Path

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

HERE = Path(__file__).resolve().parent
NOW = datetime.datetime(2026, 7, 4, 12, tzinfo=datetime.timezone.utc)


def user(content):
    return {"role": "user", "content": content}


def assistant(content):
    return {"role": "assistant", "content": content}


def system(content):
    return {"role": "system", "content": content}


CITY = {"type": "string", "description": "Which city, “Zürich” for instance"}
TOOL = {"name": "weather", "description": "Tells the weather", "parameters": {
    "type": "object", "properties": {"city": CITY, "days": {"type": "integer"}}, "required": ["city"]}}  # fmt: skip
TOOLS = [{"type": "function", "function": TOOL}]
CALL = {"id": "abcdefghi", "type": "function", "function": {"name": "weather", "arguments": {"city": "Zürich", "days": 2}}}
CALLS = {"role": "assistant", "content": "", "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "abcdefghi", "name": "weather", "content": '{"degrees": 21}'}

CONVERSATIONS = {
    "one": {"messages": [user("Hello")]},
    "turns": {"messages": [system("Be brief."), user("Hi  there\n"), assistant(" Hello! "), user("Größe?")]},
    "no answer wanted": {"messages": [user("Hello"), assistant("Hi")], "add_generation_prompt": False},
    "thoughts": {"messages": [user("Q"), assistant("<think>\nhm\n</think>\n\nA"), user("again")]},
    "no thoughts": {"messages": [user("Q")], "enable_thinking": False},
    "tools": {"messages": [user("Weather?")], "tools": TOOLS},
    "calls": {"messages": [system("Help."), user("Weather?"), CALLS, RESULT], "tools": TOOLS},
    "after calls": {"messages": [user("Weather?"), CALLS, RESULT, assistant("21"), user("Thanks")], "tools": TOOLS},
    "parts": {"messages": [user([{"type": "text", "text": "One,"}, {"type": "text", "text": "two"}])]},
    "two answers": {"messages": [assistant("first"), assistant("second")]},
}


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def render(source, conversation):
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols])
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = NOW.strftime
    inputs = {"tools": None, "documents": None, "add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>"}
    return environment.from_string(source).render(**{**inputs, **conversation})


def fnv1a(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def expected(source, conversation):
    try:
        text = render(source, conversation)
    except jinja2.exceptions.TemplateError as error:
        # Only what the template itself says against it.
        return "refused" if type(error) is jinja2.exceptions.TemplateError else None
    except TypeError:  # a loop over None, which is no list in Python and an empty one elsewhere
        return None
    # A template that knows no parts prints the list, as Python writes it.
    return None if "[{'type'" in text else fnv1a(text)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    renderings = {
        template.stem: {name: expected(template.read_text(), conversation) for name, conversation in CONVERSATIONS.items()}
        for template in sorted(Path(sys.argv[1]).glob("*.jinja"))
    }
    conversations = {name: json.dumps(conversation, ensure_ascii=False) for name, conversation in CONVERSATIONS.items()}
    record = {"made_with": {"jinja2": jinja2.__version__}, "conversations": conversations, "renderings": renderings}
    (HERE / "chat.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
